"""A process of `up`: started, listened to, started again when it has died, ended."""

import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from cli.terminal import Terminal
from shared import clock

SHORTEST_PAUSE, LONGEST_PAUSE, HEALTHY_AFTER = 1, 30, 60


@dataclass
class Child:
    """A process in a session of its own, so that the terminal's Ctrl-C reaches only `up`.

    Start it from a thread that lives as long as it shall.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    terminal: Terminal
    directory: Path | None = None
    # Its lines are kept for whoever asks why it failed, and not shown.
    silent: bool = False

    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=5), init=False)
    process: subprocess.Popen[str] | None = field(default=None, init=False)
    due: float = field(default=0, init=False)
    _pause: float = field(default=SHORTEST_PAUSE, init=False)
    _started: float = field(default=0, init=False)
    _reader: Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the process."""
        self._started = clock.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - the commands are ours
            [*_dying_with_us(), *self.command],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def tend(self) -> None:
        """Notice if the process has died, and start it again when its pause is over."""
        if self.process is not None and self.process.poll() is not None:
            self._died(self.process)
        if self.process is None and clock.monotonic() >= self.due:
            self.start()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for the process to end, but no longer than *seconds*."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)

    def terminate(self) -> None:
        """Ask the process to end what it does."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the process and all that it started in its session, now."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def flush(self) -> None:
        """Wait for the last words of a process that has ended."""
        if self._reader is not None:
            self._reader.join(1)

    def _died(self, process: subprocess.Popen[str]) -> None:
        self.kill()  # What it leaves behind may hold a port.
        self.flush()
        now = clock.monotonic()
        if now - self._started >= HEALTHY_AFTER:
            self._pause = SHORTEST_PAUSE
        self.due = now + self._pause
        self.terminal.line(
            self.name, f"died of {cause(process.returncode)}; starting again in {self._pause} s"
        )
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.process = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.last_lines.append(line.rstrip())
                if not self.silent:
                    self.terminal.line(self.name, line.rstrip())


def cause(code: int) -> str:
    """In words, what the exit status *code* of a process says."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _dying_with_us() -> list[str]:
    """What makes Linux end the process when `up` is killed before it can say goodbye."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
