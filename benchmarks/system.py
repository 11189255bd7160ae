"""The processes of the Procfile, started with its own commands, and stopped whatever happens."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fresh import ROOT
from benchmarks.stage import bin_first

_PATIENCE_SECONDS = 30


class System:
    """Processes that share a database and a Redis. See `running`."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.port = _free_port()
        self._folder = folder
        self._environ = os.environ | environ | {"PORT": str(self.port), "PATH": bin_first()}
        self._started = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._named: dict[str, list[subprocess.Popen[bytes]]] = defaultdict(list)

    @property
    def database_url(self) -> str:
        """The URL of the database that the processes share."""
        return self._environ["DATABASE_URL"]

    def start(self, kind: str) -> None:
        """Start a process of *kind*, with the line of the Procfile."""
        procfile = (ROOT / "Procfile").read_text()
        found = re.search(rf"^{kind}: (.*)$", procfile, re.MULTILINE)
        assert found, f"The Procfile has no {kind}."
        self.execute(kind, found[1])

    def execute(self, name: str, command: str) -> None:
        """Start *command*, whose log is kept under *name*."""
        process = self._open(name, command)
        self._processes.append(process)
        self._named[name].append(process)

    def pids(self, name: str) -> list[int]:
        """The process that was started as *name*, and its children."""
        found: list[int] = []
        for process in self._named[name]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            found += [process.pid, *map(int, children.split())]
        return found

    def call(self, name: str, command: str) -> None:
        """Wait until *command* has ended. Raises `RuntimeError` with the logs if it failed."""
        if self._open(name, command).wait():
            raise RuntimeError(f"{command} failed.\n{self._logs()}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block no process that was started gets any further."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def kill(self, pid: int) -> None:
        """End the process with that *pid* as a power cut would."""
        (process,) = (each for each in self._processes if each.pid == pid)
        os.killpg(pid, signal.SIGKILL)
        process.wait()
        self._processes.remove(process)

    def wait_until_it_serves(self, path: str) -> None:
        """Wait until a GET of *path* on `port` is answered."""

        def answered() -> bool:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5).close()
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True

        self.wait_until(answered, "an answer over HTTP")

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS
    ) -> None:
        """Wait until *condition* holds. Raises `RuntimeError` with the logs if it never does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or any(each.poll() for each in self._processes):
                raise RuntimeError(f"Waited in vain for {what}.\n{self._logs()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask the processes to end, and end those that do not."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _open(self, name: str, command: str) -> "subprocess.Popen[bytes]":
        self._started += 1
        with (self._folder / f"{name}-{self._started}.log").open("wb") as log:
            return subprocess.Popen(
                ["sh", "-c", f"exec env {command}"],
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            os.killpg(process.pid, number)

    def _logs(self) -> str:
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in logs)


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[System]:
    """A system of which nothing runs yet, and of which nothing runs on behind the block."""
    system = System(folder, **environ)
    try:
        yield system
    finally:
        system.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
