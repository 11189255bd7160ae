"""Runs that ended long ago: deleted, a little at a time."""

import logging
from collections.abc import Iterator
from datetime import datetime

from shared import clock, retention

logger = logging.getLogger(__name__)

# What a tick may have to wait for it.
_AT_LONGEST_SECONDS = 0.025
_SAID_AFTER_SECONDS = 60.0


class Pruner:
    """Deletes what need not be kept; it goes on where it stopped."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._steps: Iterator[int] | None = None
        self._pruned = 0
        self._said_at = 0.0

    def prune(self, now: datetime) -> bool:
        """Delete for a moment; whether there may be more to delete at once."""
        steps = self._steps
        if steps is None:
            steps, self._said_at = retention.prune(days=self._days, now=now), clock.monotonic()
        # If one fails, the next go is to begin again.
        self._steps = None
        until = clock.monotonic() + _AT_LONGEST_SECONDS
        for pruned in steps:
            self._pruned += pruned
            if clock.monotonic() >= until:
                self._steps = steps
                break
        self._say()
        return self._steps is not None

    def _say(self) -> None:
        """Say what was pruned: when that is all of it, or once a minute."""
        moment = clock.monotonic()
        if self._pruned and (self._steps is None or moment - self._said_at >= _SAID_AFTER_SECONDS):
            logger.info("runs pruned: %d", self._pruned)
            self._pruned, self._said_at = 0, moment
