"""Ending politely on SIGTERM and SIGINT."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from shared.errors import AgentManagerError


class StopFlag:
    """Raised by the first SIGTERM or SIGINT; a second one means now.

    The handler only counts. A sleeper is woken through `signal.set_wakeup_fd`, for `Event.set` in
    a handler can deadlock with an `Event.wait` that it interrupted.
    """

    def __init__(self) -> None:
        self.signals = 0
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    def __enter__(self) -> Self:
        self._previous = {
            number: signal.signal(number, self._count) for number in (signal.SIGTERM, signal.SIGINT)
        }
        self._previous_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def is_set(self) -> bool:
        """Whether the process is to end."""
        return self.signals > 0

    def wait(self, seconds: float) -> bool:
        """Sleep for *seconds*, or until a signal. True: the process is to end."""
        if not self.signals:
            readable, _, _ = select.select([self._reader], [], [], max(seconds, 0))
            if readable:
                os.read(self._reader, 4096)
        return self.signals > 0


def run(package: str, main: Callable[[], int]) -> None:
    """Run the *main* of *package* and exit with its status; what is wrong with the deployment is a
    sentence, and so is an argument.
    """
    says = f"{main.__doc__} It takes no arguments: its settings are in the environment."
    argparse.ArgumentParser(prog=f"python -m {package}", description=says).parse_args()
    try:
        status = main()
    except AgentManagerError as error:
        print(error, file=sys.stderr)
        status = 1
    sys.exit(status)
