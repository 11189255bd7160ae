"""The three processes as they are deployed, on a real Valkey and a real database."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from running import free_port
from waiting import wait_until

from shared.settings import environment

ADMIN_TOKEN = "am_an-admin-token-for-the-tests"
PROCFILE = Path(__file__).parent.parent / "Procfile"

# Quicker than the defaults, so that a test need not wait for a minute.
QUICK = {
    "AGENT_MANAGER_RUN_LEASE": "2",
    "AGENT_MANAGER_HEARTBEAT_INTERVAL": "0.5",
    "AGENT_MANAGER_REAP_INTERVAL": "0.2",
    "AGENT_MANAGER_DISPATCH_INTERVAL": "0.2",
    "AGENT_MANAGER_RESEND_AFTER": "1",
    "AGENT_MANAGER_WORKER_THREADS": "4",
    "AGENT_MANAGER_SHUTDOWN_GRACE": "1",
}


class System:
    """Processes of the Procfile, started and killed by a test; and a client of their API."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self.environ = {
            **environment(),
            **QUICK,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "AGENT_MANAGER_ADMIN_TOKEN": ADMIN_TOKEN,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        kind: str,
        *,
        command: str | None = None,
        environ: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> "subprocess.Popen[bytes]":
        """Start one process of *kind*, with the Procfile's own command unless another is given.

        Waits until an API answers, unless told not to *wait*.
        """
        if command is None:
            command = re.search(rf"^{kind}: (.*)$", PROCFILE.read_text(), re.MULTILINE)[1]
        log = self._folder / f"{kind}-{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"exec env {command}"],
                cwd=PROCFILE.parent,
                env={**self.environ, **(environ or {})},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        if kind == "web" and wait:
            wait_until(self._answers, "the API to answer", timeout=30)
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """kill -9, the whole group."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self) -> None:
        """kill -9 whatever is left."""
        for process in self._processes:
            if process.poll() is None:
                self.kill(process)

    def logs(self) -> str:
        """All that the processes have said."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()}" for path in sorted(self._folder.glob("*.log"))
        )

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        timeout: float = 10,
    ) -> tuple[int, Any]:
        """A request with the admin's token, and perhaps an idempotency key; its status and JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {ADMIN_TOKEN}",
                **({} if body is None else {"Content-Type": "application/json"}),
                **({} if key is None else {"Idempotency-Key": key}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except http.client.HTTPException as error:
            raise OSError("The answer broke off.") from error

    def run(self, run_id: str) -> Any:
        """The run, as the API shows it."""
        status, run = self.call("GET", f"/api/v1/runs/{run_id}")
        assert status == 200
        return run

    def wait_for_status(self, run_id: str, wanted: str, timeout: float = 20) -> Any:
        """Wait until the run has that status, and give it."""

        def seen() -> Any:
            run = self.run(run_id)
            return run if run["status"] == wanted else None

        return wait_until(seen, f"run {run_id} to be {wanted}", timeout=timeout)

    def _answers(self) -> bool:
        try:
            return self.call("GET", "/healthz")[0] == 200
        except OSError:
            return False
