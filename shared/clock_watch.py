"""Noticing that the wall clock was set: what is due, and until when a lease holds, goes by it."""

import logging
from datetime import datetime, timedelta

from shared import tally
from shared.tally import Count

logger = logging.getLogger(__name__)

# NTP slews half a millisecond a second: between two looks that comes to far less.
_STEP = timedelta(seconds=1)


class ClockWatch:
    """Compares the wall clock with the monotonic one, from one look to the next."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

    def look(self, now: datetime, moment: float) -> timedelta:
        """How far the wall clock was set since the last look, which is said and counted.

        *now* and *moment* are what the wall clock and the monotonic one show at one time. Nothing:
        the two went on alike. While a host sleeps, its monotonic clock may stand still; that too
        is a step, for nothing happened meanwhile.
        """
        last, self._last = self._last, (now, moment)
        if last is None:
            return timedelta()
        then, moment_then = last
        step = now - then - timedelta(seconds=moment - moment_then)
        if abs(step) <= _STEP:
            return timedelta()
        tally.add(Count.CLOCK_STEPS)
        logger.warning(
            "the clock was set %s by %.1f s, or this host slept",
            "forward" if step > timedelta() else "back",
            abs(step).total_seconds(),
        )
        return step
