"""Ranges of time that people look back on, and the days in them by the clocks of a time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.errors import Invalid
from shared.zones import load_zone, midnight

DAY = timedelta(days=1)
LONGEST = 366 * DAY
_BY_DEFAULT = 30 * DAY


class Day(NamedTuple):
    """A day, or as much of it as is in a range of time."""

    date: date
    since: datetime
    until: datetime


@dataclass(frozen=True)
class TimeRange:
    """From an instant to another, which is no longer in it, and whose clocks say what a day is."""

    since: datetime
    until: datetime
    zone: ZoneInfo

    @classmethod
    def of(
        cls, since: datetime | None, until: datetime | None, timezone: str, *, now: datetime
    ) -> "TimeRange":
        """What was asked for: until *now*, and of 30 whole days and the last one, unless said
        otherwise. Raises `Invalid`.
        """
        zone = load_zone(timezone)
        until = until or now
        since = since or midnight((until - _BY_DEFAULT).astimezone(zone).date(), zone)
        if since >= until:
            raise Invalid({"from": ["Must be before `to`, which is now unless it is given."]})
        if until - since > LONGEST:
            raise Invalid({"from": [f"Must be at most {LONGEST.days} days before `to`."]})
        return cls(since, until, zone)

    def days(self) -> Iterator[Day]:
        """Its days, in order: of 23 or 25 hours where clocks are changed, and cut at its ends."""
        first = self.since.astimezone(self.zone).date()
        for number in range(LONGEST.days + 2):
            day = first + number * DAY
            since = max(midnight(day, self.zone), self.since)
            until = min(midnight(day + DAY, self.zone), self.until)
            # There are days that a zone has left out.
            if since < until:
                yield Day(day, since, until)
