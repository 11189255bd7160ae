"""`agent-manager up` as a process that tests start, read, and stop."""

import random
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
from waiting import wait_until

from shared.settings import environment

AGENT_MANAGER = (sys.executable, "-P", "-c", "from cli.main import main; main()")
# What `up` prints last of its welcome.
READY = "Ctrl-C stops everything."


def agent_manager(*words: object, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of `agent-manager` to its end."""
    return subprocess.run(
        [*AGENT_MANAGER, *map(str, words)],
        env=environment() | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def free_port() -> int:
    """A port that nobody listens on, of those that no system gives to a client meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("0.0.0.0", port)):
            return port


class Up:
    """A running `agent-manager up`. Use it as a context: when that is left, nothing runs on."""

    def __init__(self, data_dir: Path, *words: object, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._log = data_dir.parent / f"{data_dir.name}-{self.port}.log"
        with self._log.open("ab") as log:
            command = [*AGENT_MANAGER, "up", "--data-dir", data_dir, "--port", self.port, *words]
            self.process = subprocess.Popen(
                list(map(str, command)),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            family = self.family()
            self.stop(signal.SIGTERM, signal.SIGTERM)
            for survivor in psutil.wait_procs(family, timeout=5)[1]:
                survivor.kill()

    @property
    def token(self) -> str:
        """The admin token, as the file has it."""
        return (self.data_dir / "admin-token").read_text().strip()

    def output(self) -> str:
        """All that has been printed."""
        return self._log.read_text(errors="replace")

    def wait_for_line(self, pattern: str) -> "re.Match[str]":
        """Wait until something that matches *pattern* has been printed."""
        what = f"{pattern!r} from `up`"
        return wait_until(lambda: re.search(pattern, self.output()), what, timeout=30)

    def wait_until_ready(self) -> Self:
        """Wait for the welcome."""
        try:
            wait_until(self._ready_or_ended, "the welcome of `up`", timeout=30)
        finally:
            print(self.output())  # pytest shows it where the wait was in vain.
        return self

    def stop(self, *signals: signal.Signals) -> int:
        """Send *signals*, wait for the end, and give the exit code."""
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(60)

    def family(self) -> list[Any]:
        """The processes that it has started, and theirs."""
        found: list[Any] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def children(self, words: str) -> list[Any]:
        """The processes of its own whose command lines have *words* in them."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if words in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def child(self, words: str) -> Any:
        """The first of them; None while there is none."""
        return next(iter(self.children(words)), None)

    def _ready_or_ended(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"`up` ended:\n{self.output()}")
        return READY in self.output()
