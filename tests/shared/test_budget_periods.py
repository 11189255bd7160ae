"""Days and months of a zone, where clocks change and where they do not."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.budgets.periods import current
from shared.states import Period

HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "timezone", "now", "starts_at", "ends_at"),
    [
        (Period.DAY, "UTC", "2026-11-22 12:00", "2026-11-22", "2026-11-23"),
        (Period.DAY, "UTC", "2026-11-22 00:00", "2026-11-22", "2026-11-23"),
        (Period.MONTH, "UTC", "2026-12-31 23:59", "2026-12-01", "2027-01-01"),
        (Period.MONTH, "UTC", "2028-02-29 12:00", "2028-02-01", "2028-03-01"),
        (Period.MONTH, "UTC", "2027-01-31 12:00", "2027-01-01", "2027-02-01"),
        (Period.DAY, "Asia/Tokyo", "2026-11-22 15:00", "2026-11-22 15:00", "2026-11-23 15:00"),
        (
            *(Period.MONTH, "Europe/Berlin", "2026-10-31 23:00"),
            *("2026-10-31 23:00", "2026-11-30 23:00"),
        ),
    ],
)
def test_a_period_is_a_day_or_a_month_of_its_zone(period, timezone, now, starts_at, ends_at):
    assert current(period, timezone, at(now)) == (at(starts_at), at(ends_at))


@pytest.mark.parametrize(
    ("timezone", "noon", "hours"),
    [
        ("Europe/Berlin", "2027-03-28 12:00", 23),
        ("Europe/Berlin", "2026-10-25 12:00", 25),
        # There is no midnight that day, for the clocks go forward at it.
        ("America/Sao_Paulo", "2018-11-04 15:00", 23),
        # Midnight comes twice that day.
        ("America/Havana", "2026-11-01 17:00", 25),
        # The last hour of that day does.
        ("America/Sao_Paulo", "2018-02-17 15:00", 25),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(timezone, noon, hours):
    starts_at, ends_at = current(Period.DAY, timezone, at(noon))

    assert ends_at - starts_at == hours * HOUR
    before, after = starts_at - HOUR / 2, ends_at
    assert current(Period.DAY, timezone, before).ends_at == starts_at
    assert current(Period.DAY, timezone, after).starts_at == ends_at


def test_a_day_that_has_begun_does_not_end_because_clocks_go_back_to_the_day_before():
    # In St. John's the clocks went from 00:01 back to 23:01.
    midnight = at("2010-11-07 02:30")

    days = {current(Period.DAY, "America/St_Johns", midnight + n * HOUR / 12) for n in range(30)}

    assert {day.starts_at for day in days} == {midnight}


def test_every_instant_of_a_year_is_in_the_period_that_is_current_then():
    for timezone in ("America/St_Johns", "Africa/Cairo", "Pacific/Apia", "Asia/Beirut"):
        now = at("2011-01-01")
        end = None
        while now < at("2012-02-01"):
            starts_at, ends_at = current(Period.DAY, timezone, now)
            assert starts_at <= now < ends_at
            assert end in (None, ends_at, starts_at)
            now, end = now + HOUR / 2, ends_at


def test_where_a_zone_is_not_known_its_days_are_those_of_utc(caplog):
    assert current(Period.DAY, "Mars/Olympus", at("2026-11-22 12:00")) == (
        at("2026-11-22"),
        at("2026-11-23"),
    )
    assert "Mars/Olympus" in caplog.text
