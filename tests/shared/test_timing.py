"""When a schedule may fire, and when it does first."""

from dataclasses import replace
from datetime import timedelta

import pytest
from factories import MINUTE, NOON

from shared.errors import Invalid
from shared.timing import Timing

DAILY = Timing(
    cron_expression="0 8 * * *",
    run_at=None,
    timezone="UTC",
    start_at=None,
    end_at=None,
    enabled=True,
)
ONCE = replace(DAILY, cron_expression=None, run_at=NOON + MINUTE)
EIGHT = NOON + timedelta(hours=20)


@pytest.mark.parametrize(
    ("timing", "first"),
    [
        (DAILY, EIGHT),
        (replace(DAILY, timezone="Asia/Tokyo"), NOON + timedelta(hours=11)),
        (replace(DAILY, enabled=False), None),
        (replace(DAILY, start_at=EIGHT), EIGHT),
        (replace(DAILY, start_at=EIGHT + MINUTE), EIGHT + timedelta(days=1)),
        (replace(DAILY, end_at=EIGHT), EIGHT),
        (replace(DAILY, end_at=EIGHT - MINUTE), None),
        (ONCE, NOON + MINUTE),
        (replace(ONCE, run_at=NOON), None),
        (replace(ONCE, enabled=False), None),
    ],
)
def test_the_first_fire_time(timing, first):
    assert timing.first_after(NOON) == first


@pytest.mark.parametrize(
    ("timing", "fields"),
    [
        (replace(DAILY, cron_expression="nonsense"), {"cronExpression"}),
        (replace(DAILY, cron_expression=None), {"cronExpression"}),
        (replace(DAILY, run_at=NOON), {"runAt"}),
        (replace(DAILY, timezone="Mars"), {"timezone"}),
        (replace(DAILY, start_at=NOON, end_at=NOON), {"endAt"}),
        (replace(ONCE, end_at=NOON), {"runAt"}),
        (replace(DAILY, cron_expression="x", timezone="y"), {"cronExpression", "timezone"}),
    ],
)
def test_each_field_that_is_wrong_is_named(timing, fields):
    with pytest.raises(Invalid) as refused:
        timing.check()

    assert refused.value.fields.keys() == fields


def test_what_has_passed_cannot_be_asked_for():
    ONCE.check_future(NOON)

    with pytest.raises(Invalid):
        ONCE.check_future(NOON + MINUTE)


def test_one_instant_is_described_in_its_zone():
    assert ONCE.describe() == "Once, on 2026-11-22 at 12:01"
    berlin = replace(ONCE, timezone="Europe/Berlin")
    assert berlin.describe() == "Once, on 2026-11-22 at 13:01 (Europe/Berlin)"
