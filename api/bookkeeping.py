"""The writing down of what an api process has counted, behind the answers to requests."""

import logging

from peewee import PeeweeException
from playhouse.pool import MaxConnectionsExceeded

from shared import clock, processes, tally
from shared.log import Trouble

logger = logging.getLogger(__name__)

_AT_MOST_EVERY_SECONDS = 5.0


class Bookkeeper:
    """Writes down the counts of this process, which has no thread of its own to do that."""

    def __init__(self) -> None:
        self._process_id = processes.new_id()
        self._due = 0.0
        self._trouble = Trouble(logger, "write down its counts")

    def answered(self) -> None:
        """Write down what is new, now and then; for it the request must not fail."""
        moment = clock.monotonic()
        if moment < self._due:
            return
        self._due = moment + _AT_MOST_EVERY_SECONDS
        self.close()

    def close(self) -> None:
        """Write down what is new: the process may be about to end."""
        try:
            tally.save(self._process_id, now=clock.now())
        except (PeeweeException, MaxConnectionsExceeded) as error:
            self._trouble.begins(error)
        else:
            self._trouble.ends()
