"""What agents report while they work, written down about once a second.

By a thread of its own: what they keep can be long, and leases do not wait for that.
"""

import logging
import threading
from collections.abc import Callable, Iterable

from shared import db, tally
from shared.log import Trouble
from shared.tally import Count
from worker.reporter import Reporter

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0


class Reports:
    """The thread that writes for all runs of its process."""

    def __init__(self, reporters: Callable[[], Iterable[Reporter]]) -> None:
        self._reporters = reporters
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._trouble = Trouble(logger, "write what agents report")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and wait for it."""
        self._ending.set()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the thread is there to do its work."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.wait(_EVERY_SECONDS):
            try:
                self._write()
            except Exception as error:
                # Whatever it is: nobody would see what happens in a run before it has ended.
                if isinstance(error, db.UNREACHABLE):
                    tally.add(Count.DATABASE_RETRIES)
                self._trouble.begins(error)
            else:
                self._trouble.ends()

    def _write(self) -> None:
        for reporter in self._reporters():
            reporter.write()
