"""Days and months as the people of a time zone count them: no clock, no database."""

import logging
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from shared.errors import Invalid
from shared.states import Period
from shared.zones import load_zone, midnight

logger = logging.getLogger(__name__)


class Span(NamedTuple):
    """From one instant until just before another."""

    starts_at: datetime
    ends_at: datetime


def current(period: Period, timezone: str, now: datetime) -> Span:
    """The day or the month in *timezone* that it is at *now*.

    It begins with the first instant of its first date. Where clocks that go back make it the day
    before again, what has begun goes on.
    """
    zone = _zone(timezone)
    first = _first_date(period, now.astimezone(zone).date())
    following = _next(period, first)
    if midnight(following, zone) <= now:
        first, following = following, _next(period, following)
    return Span(midnight(first, zone), midnight(following, zone))


def _zone(timezone: str) -> tzinfo:
    try:
        return load_zone(timezone)
    except Invalid as error:
        # It was known where the budget was made. No run is kept from its time for that.
        logger.error("a budget's days are counted in UTC on this host: %s", error)
        return UTC


def _first_date(period: Period, day: date) -> date:
    return day if period is Period.DAY else day.replace(day=1)


def _next(period: Period, first: date) -> date:
    # Every month has ended 31 days after its first.
    return _first_date(period, first + timedelta(days=1 if period is Period.DAY else 31))
