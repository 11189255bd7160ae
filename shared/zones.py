"""Time zones: their names, and when and how far their clocks are changed."""

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from threading import Lock
from zoneinfo import ZoneInfo, available_timezones

from shared.errors import Invalid

SECOND = timedelta(seconds=1)
LONGEST_NAME = 64
# What the operating system keeps among the zones, though it is none.
NOT_ZONES = {"Factory", "localtime", "posixrules"}


def names() -> frozenset[str]:
    """The names of all zones that there are."""
    # Of a worker's hundreds of threads, each would read all of the system's files at its first run.
    with _reading:
        return _names()


_reading = Lock()


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - NOT_ZONES)


@cache
def load_zone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises `Invalid`, with the names that come near."""
    if name not in names():
        raise Invalid({"timezone": [_unknown(name)]})
    return ZoneInfo(name)


def midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of *day* in *zone*: where midnight is left out, that of the change."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    """How far the clocks of *zone* are ahead of UTC at the instant *at*."""
    return at.astimezone(zone).replace(tzinfo=UTC) - at


def steady_until(zone: ZoneInfo, start: datetime, end: datetime) -> datetime:
    """The instant after *start* at which the clocks are changed, or *end* if they are not.

    *start* is a whole second, and *end* no more than three days later: no zone has ever had two
    changes so close together.
    """
    before = offset(zone, start)
    if offset(zone, end) == before:
        return end
    seconds = range((end - start) // SECOND)
    changed = bisect_left(seconds, True, key=lambda s: offset(zone, start + s * SECOND) != before)
    return start + changed * SECOND


def _unknown(name: str) -> str:
    """A sentence for who got the name wrong, by its letters or by leaving out the region."""
    shown = name[:LONGEST_NAME]
    known = {each.rpartition("/")[2].lower(): each for each in sorted(names())}
    known |= {each.lower(): each for each in names()}
    near = dict.fromkeys(
        known[each] for each in get_close_matches(shown.lower(), known, cutoff=0.75)
    )
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no time zone {shown!r}.{hint}"
