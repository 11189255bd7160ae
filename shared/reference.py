"""The clock of schedulers and workers, however far apart their hosts are: the database's."""

from collections.abc import Callable
from datetime import datetime, timedelta

from shared import db


def ahead(clock: Callable[[], datetime]) -> timedelta:
    """How far the database's clock is ahead of *clock*; too little, if anything.

    By as much as the answer took to get here, at most: what goes by it may be late by that, but
    never early. SQLite runs on this host, and so goes by its clock.
    """
    if db.is_sqlite():
        return timedelta()
    with db.connection():
        (theirs,) = db.execute("SELECT clock_timestamp()").fetchone()
    difference: timedelta = theirs - clock()
    return difference


def now(clock: Callable[[], datetime]) -> datetime:
    """The database's time, asked for now. Raises one of `shared.db.UNREACHABLE`."""
    return clock() + ahead(clock)


class ReferenceClock:
    """The database's time, as this host's clock tells it since the last look at both."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def look(self) -> None:
        """Compare the two clocks. Raises one of `shared.db.UNREACHABLE`."""
        self._ahead = ahead(self._clock)

    def now(self) -> datetime:
        """The current instant, in UTC."""
        return self._clock() + self._ahead
