"""Ranges of time that people look back on, and their days by the clocks of a zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from factories import NOON
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.time_range import LONGEST, TimeRange

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN = "Europe/Berlin"
ZONES = (
    *("UTC", BERLIN, "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"),
    *("Africa/Cairo", "America/Havana", "Pacific/Kiritimati", "Australia/Lord_Howe"),
)


def time_range(since=None, until=None, timezone="UTC", now=NOON):
    moments = (None if each is None else datetime.fromisoformat(each) for each in (since, until))
    return TimeRange.of(*moments, timezone, now=now)


def test_it_is_that_of_30_whole_days_and_today():
    found = time_range()

    assert (found.since, found.until) == (datetime(2026, 10, 23, tzinfo=UTC), NOON)
    assert len(list(found.days())) == 31


def test_it_begins_at_midnight_by_the_clocks_of_the_zone():
    assert time_range(timezone=BERLIN).since == datetime(2026, 10, 22, 22, tzinfo=UTC)


def test_where_only_the_end_is_said_it_is_that_of_30_days_before():
    found = time_range(until="2026-03-31T00:00:00Z")

    assert found.since == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-22T12:00:00Z", None),
        ("2026-11-23T00:00:00Z", None),
        ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-11-01T00:00:00Z", "2026-11-01T01:00:00+01:00"),
        ("2025-11-21T11:59:59Z", None),
        ("2000-01-01T00:00:00Z", None),
    ],
)
def test_what_has_no_length_or_is_too_long_is_refused(since, until):
    with pytest.raises(Invalid) as refused:
        time_range(since, until)

    assert refused.value.fields.keys() == {"from"}


def test_a_leap_year_is_not_too_long():
    assert len(list(time_range("2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z").days())) == 366


@pytest.mark.parametrize(
    ("night", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)],
)
def test_a_day_on_which_clocks_change_has_fewer_hours_or_more(night, hours):
    found = time_range("2026-01-01T00:00:00+01:00", "2026-12-31T00:00:00+01:00", BERLIN)

    lengths = {each.date.isoformat(): each.until - each.since for each in found.days()}

    assert lengths[night] == hours * HOUR


def test_the_first_day_and_the_last_are_cut():
    first, last = time_range(
        "2026-11-01T22:00:00+01:00", "2026-11-02T03:00:00+01:00", BERLIN
    ).days()

    assert (first.date, first.until - first.since) == (date(2026, 11, 1), 2 * HOUR)
    assert (last.date, last.until - last.since) == (date(2026, 11, 2), 3 * HOUR)


def test_a_day_that_has_no_midnight_begins_with_the_change_of_the_clocks():
    # At midnight the clocks of Cairo were put forward to one o'clock.
    days = time_range(
        "2026-04-23T00:00:00+02:00", "2026-04-26T00:00:00+03:00", "Africa/Cairo"
    ).days()

    assert [(each.date.day, (each.until - each.since) // HOUR) for each in days] == [
        (23, 24),
        (24, 23),
        (25, 24),
    ]


def test_a_day_that_a_zone_has_left_out_is_none_of_them():
    days = time_range(
        "2011-12-29T00:00:00-10:00", "2012-01-01T00:00:00+14:00", "Pacific/Apia"
    ).days()

    assert [each.date.day for each in days] == [29, 31]


def test_a_day_that_clocks_go_back_to_is_over_all_the_same():
    # From 00:01 to 23:01 of the day before, and so midnight came twice.
    change = datetime(2006, 10, 29, 2, 31, tzinfo=UTC)
    now = change + HOUR / 2

    (day,) = TimeRange.of(change, now, "America/St_Johns", now=now).days()

    assert day == (date(2006, 10, 29), change, now)


INSTANTS = st.timedeltas(timedelta(), 30 * LONGEST).map(datetime(2000, 1, 1, tzinfo=UTC).__add__)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(INSTANTS, st.timedeltas(timedelta(microseconds=1), LONGEST), st.sampled_from(ZONES))
def test_days_follow_each_other_from_end_to_end(since, length, zone):
    until = since + length

    days = list(TimeRange(since, until, ZoneInfo(zone)).days())

    assert [days[0].since, *(each.until for each in days)] == [
        *(each.since for each in days),
        until,
    ]
    assert days[0].since == since
    assert sorted({each.date for each in days}) == [each.date for each in days]
