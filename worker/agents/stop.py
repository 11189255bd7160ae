"""How an agent learns that it must stop."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class StopReason(StrEnum):
    """Why an attempt is to end before its agent has finished."""

    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    DRAINED = "DRAINED"
    LOST = "LOST"


class Stop:
    """A flag that is set once, with a reason, and wakes whoever waits or listens for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self.reason: StopReason | None = None

    def set(self, reason: StopReason) -> None:
        """Tell the agent to stop. The first reason stays."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            self._event.set()
            for listener in self._listeners:
                listener()

    def is_set(self) -> bool:
        """Whether the agent must stop."""
        return self._event.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the agent must stop, *seconds* at most. True: it must."""
        return self._event.wait(seconds)

    @contextmanager
    def calling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within the block, call *listener* (from another thread) when the flag is set.

        It is called at once if the flag is set already, and never after the block. It must be
        quick, must not raise, and must not touch this flag.
        """
        with self._lock:
            if self.reason is None:
                self._listeners.append(listener)
            else:
                listener()
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

    @contextmanager
    def readable(self) -> Iterator[socket.socket]:
        """Within the block, a socket for a `select`: it can be read once the flag is set."""
        reader, writer = socket.socketpair()
        with reader, writer, self.calling(lambda: writer.sendall(b"!")):
            yield reader
