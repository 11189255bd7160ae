"""Keeps the processes of `up` alive, and ends them in order."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from cli.child import Child
from cli.terminal import Terminal
from shared import clock
from shared.process import StopFlag

# For what a process does after its grace period: saying goodbye to the database.
MARGIN_SECONDS = 5


class Supervisor:
    """A context in which processes live: they restart when they die, and end when it is left."""

    def __init__(self, terminal: Terminal, stop: StopFlag, *, grace_seconds: float) -> None:
        self._terminal = terminal
        self._stop = stop
        self._patience = grace_seconds + MARGIN_SECONDS
        self._servers: list[Child] = []
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(self._children)
        self._end(self._servers)

    def start(self, child: Child) -> None:
        """Start *child* and look after it, unless it is time to stop."""
        if not self._stop.is_set():
            self._children.append(child)
            child.start()

    def start_server(self, child: Child) -> None:
        """Start *child*, which all others need, and end it after them."""
        self._servers.append(child)
        child.start()

    def watch(self, until: Callable[[], bool], *, every: float) -> None:
        """Tend the processes until *until*, asked *every* so many seconds, or until the end."""
        while not self._stop.is_set() and not until():
            for child in (*self._servers, *self._children):
                child.tend()
            self._stop.wait(every)

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.terminate()
        until = clock.monotonic() + self._patience
        for child in children:
            # In short steps, for a second Ctrl-C means now.
            while child.is_alive() and self._stop.signals < 2 and clock.monotonic() < until:
                child.wait(0.1)
            if child.is_alive():
                self._terminal.line(child.name, "has not ended yet and is killed")
            child.kill()
            child.flush()
