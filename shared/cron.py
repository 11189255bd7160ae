"""When a cron expression fires in a time zone, clock changes included, as Debian's cron has it.

The only importer of croniter, and that for dates alone: times of the day, zones and clock changes
are ours.
"""

from bisect import bisect_left
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import dropwhile, islice
from zoneinfo import ZoneInfo

from croniter import croniter

from shared import zones
from shared.cron_syntax import CronExpression, Dates, parse
from shared.cron_words import describe
from shared.zones import load_zone

__all__ = [
    "CronExpression",
    "FireTime",
    "clock_change_note",
    "describe",
    "fire_times",
    "load_zone",
    "parse",
    "preview",
]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
# Longer than clocks ever went back, shorter than any time between two changes.
WINDOW = 2 * DAY
# What jumps further is a new calendar rather than a clock change: nothing is made up for it.
LARGEST_CHANGE = timedelta(hours=3)
FIRST = datetime.min.replace(tzinfo=UTC) + 2 * WINDOW
LAST = datetime.max.replace(tzinfo=UTC) - 2 * WINDOW


@dataclass(frozen=True, slots=True)
class FireTime:
    """One instant at which an expression fires, and what a clock change has to do with it."""

    at: datetime
    local: datetime
    note: str | None


def preview(expression: str, timezone: str, after: datetime, count: int) -> list[FireTime]:
    """The next *count* fire times as people want to see them."""
    cron, zone = parse(expression), load_zone(timezone)
    return [
        FireTime(at, at.astimezone(zone), clock_change_note(cron, zone, at))
        for at in islice(fire_times(cron, zone, after), count)
    ]


def fire_times(cron: CronExpression, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The instants after *after* at which *cron* fires in *zone*, in UTC and in order."""
    # Whether *after* is in the second pass of an hour that comes twice shows some hours before it.
    start = min(max(after, FIRST), LAST).astimezone(UTC) - LARGEST_CHANGE
    walk = _walk(cron, zone, start.replace(microsecond=0))
    return dropwhile(lambda instant: instant <= after, walk)


def clock_change_note(cron: CronExpression, zone: ZoneInfo, at: datetime) -> str | None:
    """What a clock change does to the fire time *at*, in a sentence; None if it does nothing."""
    before, local = zones.offset(zone, at - zones.SECOND), at.astimezone(zone)
    skipped = _skipped(cron, at, before, zones.offset(zone, at) - before)
    if skipped:
        missing = [f"{instant + before:%H:%M}" for instant in skipped]
        subject, verb, once = missing[0], "does", ""
        if len(missing) > 1:
            subject, verb, once = f"{missing[0]} to {missing[-1]}", "do", "once, "
        return (
            f"{subject} {verb} not exist that night: the clocks go forward from"
            f" {at + before:%H:%M} to {local:%H:%M}; runs {once}at {local:%H:%M}."
        )
    change = -abs(local.replace(fold=1 - local.fold).astimezone(UTC) - at)
    if not change:
        return None
    if _runs_once(cron, change):
        runs = "runs the first time only"
    else:
        runs = f"runs both times, and this is the {'second' if local.fold else 'first'}"
    return f"{local:%H:%M} comes twice that night: the clocks go back; {runs}."


def _walk(cron: CronExpression, zone: ZoneInfo, at: datetime) -> Iterator[datetime]:
    """The fire times from *at* on, from one stretch of steady clocks to the next."""
    while at < LAST:
        before = zones.offset(zone, at)
        end = zones.steady_until(zone, at, at + WINDOW)
        yield from _between(cron, at, end, before)
        change = zones.offset(zone, end) - before
        at = end
        if not change:
            # On to the next day that has any. Yesterday counts: the clocks may yet go back to it.
            day = _first_date(cron.dates, (end + before).date() - DAY)
            if day is None:
                return
            at = max(end, _midnight(day) - WINDOW)
        elif _skipped(cron, end, before, change):
            yield end
            at = end + zones.SECOND
        elif _runs_once(cron, change):
            at = end - change


def _skipped(
    cron: CronExpression, at: datetime, before: timedelta, change: timedelta
) -> list[datetime]:
    """When the times would have been that clocks put forward at *at* leave out, if *cron* minds."""
    if cron.wildcard or not timedelta(0) < change < LARGEST_CHANGE:
        return []
    return list(_between(cron, at, at + change, before))


def _runs_once(cron: CronExpression, change: timedelta) -> bool:
    """Whether *cron* leaves out the second pass of the times that come twice by *change*."""
    return not cron.wildcard and -LARGEST_CHANGE <= change < timedelta(0)


def _between(
    cron: CronExpression, start: datetime, end: datetime, offset: timedelta
) -> Iterator[datetime]:
    """The instants from *start*, before *end*, when a clock *offset* ahead of UTC shows a time."""
    times = _times_of_day(cron.hours, cron.minutes)
    day = _first_date(cron.dates, (start + offset).date())
    while day is not None and (midnight := _midnight(day) - offset) < end:
        first, last = bisect_left(times, start - midnight), bisect_left(times, end - midnight)
        yield from map(midnight.__add__, times[first:last])
        day = _first_date(cron.dates, day + DAY)


@lru_cache(maxsize=1024)
def _times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[timedelta, ...]:
    """How long after midnight each of the times of a day is."""
    return tuple(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)


@lru_cache(maxsize=4096)
def _first_date(dates: Dates, since: date) -> date | None:
    """The first day not before *since* that *dates* names; None if the calendar ends before."""
    matcher = copy(_matcher(dates))  # croniter keeps its place in itself; the copy is ours alone
    try:
        found: datetime = matcher.get_next(datetime, datetime.combine(since, time()) - MINUTE)
    except (OverflowError, ValueError):
        return None
    return found.date()


@lru_cache(maxsize=1024)
def _matcher(dates: Dates) -> croniter:
    """A croniter over midnights, given nothing but numbers."""
    fields = ((dates.days, 31), (dates.months, 12), (dates.weekdays, 7))
    days = ("*" if len(each) == size else ",".join(map(str, each)) for each, size in fields)
    return croniter(f"0 0 {' '.join(days)}", 0, datetime, day_or=dates.either)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
