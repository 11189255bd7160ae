"""Cron against a plain matcher: any expression, and every clock change of every zone.

The matcher looks at each minute in turn, with the virtual clock of Debian's `cron.c`.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from shared import cron
from shared.errors import CronError

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LONGEST_CATCH_UP = 180
SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
FROM, TO = datetime(2000, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)

# The same examples on every machine, however slow it is.
STEADY = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Plain:
    """An expression, without names, as five sets; it knows what matches and nothing else."""

    def __init__(self, expression):
        texts = expression.split()
        sets = (self.read(text, *span) for text, span in zip(texts, SPANS, strict=True))
        self.minutes, self.hours, self.days, self.months, weekdays = sets
        self.weekdays = {number % 7 for number in weekdays}
        self.wildcard = texts[0][0] == "*" or texts[1][0] == "*"
        self.both_days = texts[2][0] == "*" or texts[4][0] == "*"

    @staticmethod
    def read(text, low, high):
        numbers = set()
        for item in text.split(","):
            span, _, step = item.partition("/")
            first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
            numbers |= set(range(int(first), int(last or first) + 1, int(step or 1)))
        return numbers

    def on(self, day):
        days, weekdays = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (
            (days and weekdays) if self.both_days else (days or weekdays)
        )

    def at(self, wall):
        return wall.minute in self.minutes and wall.hour in self.hours and self.on(wall)


def clock(zone, start, end):
    """Each minute from *start* to *end*, with what the clock on the wall shows in it."""
    minutes = (start + n * MINUTE for n in range((end - start) // MINUTE))
    return [(minute, minute.astimezone(zone).replace(tzinfo=None)) for minute in minutes]


def as_debian_would(expression, shown):
    """The minutes in which Debian's cron runs something, sitting before that clock."""
    plain = Plain(expression)
    virtual = shown[0][1] - MINUTE
    for instant, wall in shown:
        ahead = (wall - virtual) // MINUTE
        if -LONGEST_CATCH_UP < ahead <= 0:
            runs = plain.wildcard and plain.at(wall)
        elif 1 < ahead <= LONGEST_CATCH_UP and not plain.wildcard:
            runs = any(plain.at(wall - n * MINUTE) for n in range(ahead))
            virtual = wall
        else:
            runs = plain.at(wall)
            virtual = wall
        if runs:
            yield instant


def as_we_do(expression, zone, after, end):
    fire_times = cron.fire_times(cron.parse(expression), zone, after)
    return list(takewhile(lambda fire_time: fire_time < end, fire_times))


def offset(zone, at):
    return at.astimezone(zone).utcoffset()


@cache
def changes(name):
    """Every change of the clocks of a zone: when, from and to how far ahead of UTC."""
    zone, found = ZoneInfo(name), []
    # No two changes of one zone are less than six days apart in those years.
    looks = [FROM + n * 6 * DAY for n in range((TO - FROM) // (6 * DAY) + 1)]
    for low, high in pairwise(looks):
        was, will_be = offset(zone, low), offset(zone, high)
        while was != will_be and high - low > MINUTE:
            middle = low + (high - low) // MINUTE // 2 * MINUTE
            low, high = (middle, high) if offset(zone, middle) == was else (low, middle)
        if was != will_be:
            found.append((high, was, will_be))
    return found


@pytest.fixture(scope="module")
def all_changes():
    """Every change that any zone makes, with one of the zones that make it."""
    return {change: name for name in cron.zones.names() for change in changes(name)}


def jobs_around(change, was, will_be):
    """Expressions that a clock change may hurt."""
    walls = [(change + ahead).replace(tzinfo=None) for ahead in (was, will_be)]
    first, last = min(walls), max(walls)
    inside = first + (last - first) // 2
    yield f"{inside.minute} {inside.hour} * * *"
    yield f"{first.minute} {first.hour} {first.day} {first.month} *"
    yield f"{first.minute},{inside.minute},{last.minute} {first.hour},{last.hour} * * *"
    yield f"*/20 {inside.hour} * * *"
    yield f"{inside.minute} * * * {inside.isoweekday()}"
    yield f"{last.minute}-59/7 {last.hour} 1-31/2 * {last.isoweekday()}"
    yield "0 0 * * *"
    yield "* * * * *"


def test_there_is_no_clock_change_of_any_zone_that_we_take_differently(all_changes):
    checked = 0
    for (change, was, will_be), name in all_changes.items():
        zone, moved = ZoneInfo(name), abs(will_be - was)
        start, end = change - moved - HOUR, change + moved + HOUR
        shown = clock(zone, start, end)
        for expression in jobs_around(change, was, will_be):
            expected = list(as_debian_would(expression, shown))
            for after in (change - moved / 2, change + moved / 2):
                fire_times = as_we_do(expression, zone, after, end)
                due = [each for each in expected if each > after]
                assert fire_times == due, (expression, name, after)
                checked += 1

    assert checked > 20_000


WITH_CHANGES = [
    "Europe/Berlin",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
]


@st.composite
def fields(draw, low, high, most=3):
    """A field of some items: stars, numbers, ranges and steps."""
    numbers = st.integers(low, high)
    steps = st.integers(1, high + 5).map("/{}".format)
    ranges = st.tuples(numbers, numbers).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    spans = st.one_of(st.just("*"), ranges)
    items = st.one_of(numbers.map(str), spans, st.builds("{}{}".format, spans, steps))
    return ",".join(draw(st.lists(items, min_size=1, max_size=most)))


def expressions(*fixed):
    """Expressions of which the first fields are *fixed*, and the others may be anything."""
    free = [fields(*span) for span in SPANS[len(fixed) :]]
    return st.tuples(*map(st.just, fixed), *free).map(" ".join)


@settings(STEADY, max_examples=120)
@given(
    expression=expressions(),
    change=st.sampled_from(WITH_CHANGES).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(changes(name)))
    ),
    before=st.timedeltas(min_value=-DAY, max_value=2 * DAY),
)
def test_any_expression_fires_around_clock_changes_as_debian_would(expression, change, before):
    name, (at, _, _) = change
    zone, after = ZoneInfo(name), at - before
    try:
        cron.parse(expression)
    except CronError:
        assume(False)
    # Debian's cron must have been awake for a while to know what time it should be.
    awake, end = at - 2 * DAY - 4 * HOUR, at + 2 * DAY

    fire_times = as_we_do(expression, zone, after, end)

    expected = as_debian_would(expression, clock(zone, awake, end))
    assert fire_times == [each for each in expected if each > after]


@settings(STEADY, max_examples=80)
@given(
    expression=expressions("30", "12"),
    start=st.dates(date(1970, 1, 1), date(2100, 1, 1)),
)
@example(expression="30 12 1-31 * 1", start=date(2025, 1, 1))
@example(expression="30 12 31 2 0-7", start=date(2025, 1, 1))
@example(expression="30 12 2-2 * */2", start=date(2025, 1, 1))
def test_any_expression_fires_on_the_days_that_it_names_or_is_refused(expression, start):
    plain = Plain(expression)
    noon = datetime(start.year, start.month, start.day, 12, tzinfo=UTC)
    end = noon + 3 * 365 * DAY
    if not any(plain.on(noon + n * DAY) for n in range(41 * 366)):
        with pytest.raises(CronError, match="never fire"):
            cron.parse(expression)
        return

    fire_times = as_we_do(expression, ZoneInfo("UTC"), noon, end)

    days = (noon + n * DAY for n in range((end - noon) // DAY))
    expected = [day + 30 * MINUTE for day in days if plain.on(day)]
    assert fire_times == expected


@settings(STEADY, max_examples=200)
@given(expression=expressions())
def test_whatever_is_accepted_can_be_described(expression):
    try:
        cron.parse(expression)
    except CronError:
        assume(False)

    words = cron.describe(expression, "UTC")

    assert words[0].isupper()
    assert not set(words) & set("*?/\n")


@settings(STEADY, max_examples=500)
@given(text=st.text(alphabet="0123456789*/-,@?#LWJANmon \t\n\0\u0665", max_size=30))
def test_whatever_is_refused_is_refused_in_words(text):
    says = "Accepted."
    try:
        cron.parse(text)
    except CronError as refused:
        says = str(refused)

    assert says.endswith(".")
    assert says.isprintable()
