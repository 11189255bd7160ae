"""What a schedule will run and cost: fire times that are counted, costs that were measured."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_agent, make_run, make_schedule

from shared import forecast, schedules
from shared.errors import Invalid, NotFound
from shared.forecast import Cadence
from shared.ids import uuid7
from shared.states import CANCELLED, COMPLETED, FAILED

DAY = timedelta(days=1)


def cadence(now=NOON, **orders):
    timing = schedules.timing_of({**schedules.DEFAULTS, **orders})
    return Cadence.of(timing, now)


def counts(found):
    return found.next_day, found.next_30_days, found.per_day


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", (1440, 43_200, 1440)),
        ("*/7 * * * *", (216, 6480, 216)),
        ("0 12 * * *", (1, 30, 1)),
        # From Sunday noon on: four whole weeks of working days, and two days more.
        ("0 8 * * MON-FRI", (1, 22, 22 / 30)),
        ("0 0 29 2 *", (0, 0, 0)),
    ],
)
def test_fire_times_are_counted(expression, expected):
    assert counts(cadence(cron_expression=expression)) == expected


def test_the_first_fire_time_is_told_however_far_away_it_is():
    assert cadence(cron_expression="0 0 29 2 *").first == datetime.fromisoformat(
        "2028-02-29T00:00:00Z"
    )


@pytest.mark.parametrize("now", ["2026-03-28T12:00:00+01:00", "2026-10-24T12:00:00+02:00"])
@pytest.mark.parametrize(("expression", "runs"), [("0 * * * *", 24), ("30 2 * * *", 1)])
def test_a_day_is_24_hours_whatever_clocks_show_in_it(now, expression, runs):
    found = cadence(
        datetime.fromisoformat(now), cron_expression=expression, timezone="Europe/Berlin"
    )

    assert found.next_day == runs


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # What would be from 02:00 to 02:59 does not exist, and is made up for by none or one.
        ("2026-03-28T12:00:00+01:00", {"*/10 2 * * *": 0, "0,30 2 * * *": 1}),
        ("2026-10-24T12:00:00+02:00", {"*/10 2 * * *": 12, "0,30 2 * * *": 2}),
    ],
)
def test_fire_times_of_a_night_on_which_clocks_change_are_the_real_ones(now, expected):
    now = datetime.fromisoformat(now)

    found = {
        each: cadence(now, cron_expression=each, timezone="Europe/Berlin").next_day
        for each in expected
    }

    assert found == expected


def test_it_is_counted_from_the_start_on():
    start = NOON + 100 * DAY

    found = cadence(cron_expression="0 12 * * *", start_at=start)

    assert (found.since, found.first, *counts(found)) == (start, start, 1, 30, 1)


def test_a_start_that_has_passed_changes_nothing():
    found = cadence(cron_expression="0 12 * * *", start_at=NOON - DAY)

    assert (found.since, found.first) == (NOON, NOON + DAY)


def test_the_mean_is_of_the_days_that_it_lasts():
    assert counts(cadence(cron_expression="0 * * * *", end_at=NOON + 10 * DAY)) == (24, 240, 24)
    assert counts(cadence(cron_expression="* * * * *", end_at=NOON + MINUTE)) == (1, 1, 1)


def test_what_has_ended_fires_no_more():
    found = cadence(cron_expression="* * * * *", end_at=NOON - DAY)

    assert (found.first, *counts(found)) == (None, 0, 0, 0)


@pytest.mark.parametrize(
    ("at", "expected"),
    [(NOON + MINUTE, (1, 1)), (NOON + 2 * DAY, (0, 1)), (NOON + 31 * DAY, (0, 0))],
)
def test_a_single_run_is_one(at, expected):
    found = cadence(run_at=at)

    assert (found.next_day, found.next_30_days) == expected
    assert found.first == at


@pytest.fixture
def ended(database):
    """Makes a run of an agent that cost so much, one after the other."""
    made = []

    def make(cost, status=COMPLETED, agent="echo"):
        at = NOON + len(made) * timedelta(seconds=1)
        made.append(
            make_run(
                agent,
                id=uuid7(at),
                status=status,
                started_at=at,
                finished_at=at,
                cost_usd=cost and Decimal(cost),
            )
        )

    return make


def cost_of(**orders):
    made = {"agent_id": "echo", "cron_expression": "0 8 * * *", **orders}
    found = forecast.of_orders(made, now=NOON)
    return found.cost_of(found.cadence.next_30_days), found.cost


def test_what_always_cost_the_same_will(ended):
    for _ in range(3):
        ended("0.25")

    assert cost_of(max_attempts=4) == (
        {"low": 7.5, "mean": 7.5, "high": 7.5, "worst": 30},
        forecast.Cost(forecast.Measured(3, 0.25, 0)),
    )


def test_what_cost_now_more_and_now_less_is_a_range_which_few_make_wide(ended):
    for cost in ("0.1", "0.3"):
        ended(cost)
    few, _ = cost_of()
    for cost in ("0.1", "0.3") * 50:
        ended(cost)
    many, _ = cost_of()

    assert few["mean"] == many["mean"] == 6
    assert few["low"] < many["low"] < 6 < many["high"] < few["high"]


def test_of_an_agent_that_has_never_run_nothing_is_known(ended):
    make_agent("echo")
    ended("1", agent="another")
    ended("1", status=CANCELLED)

    assert cost_of() == (
        None,
        forecast.Cost(None, "No run of agent echo has been measured yet."),
    )


def test_what_has_no_price_is_not_for_nothing(ended):
    ended(None)

    assert cost_of() == (None, forecast.Cost(None, "The runs of agent echo report no cost."))


def test_what_is_for_nothing_is_known_to_be(ended):
    ended("0")

    amounts, cost = cost_of()

    assert amounts == {"low": 0, "mean": 0, "high": 0, "worst": 0}
    assert cost.note is None


def test_what_reports_no_cost_is_told_of(ended):
    ended("0.25")
    ended(None, status=FAILED)

    _, cost = cost_of()

    assert cost.measured.count == 1
    assert (
        cost.note
        == "1 of the latest 2 runs of agent echo reported no cost; the others stand for all."
    )


@pytest.mark.usefixtures("database")
def test_what_could_not_be_made_is_refused_as_it_would_be():
    with pytest.raises(Invalid) as refused:
        cost_of()

    assert refused.value.fields.keys() == {"agentId"}


def test_a_schedule_is_forecast_as_its_orders_are_even_if_it_is_disabled(ended):
    ended("0.25")
    schedule = make_schedule(cron_expression="0 8 * * *", max_attempts=4, enabled=False)
    orders = {"agent_id": "echo", "cron_expression": "0 8 * * *", "max_attempts": 4}

    found = forecast.of_schedule(schedule.id, now=NOON)

    assert found == forecast.of_orders(orders, now=NOON)


@pytest.mark.usefixtures("database")
def test_a_schedule_that_was_set_aside_says_what_is_wrong_with_it():
    schedule = make_schedule(cron_expression="nonsense")

    with pytest.raises(Invalid) as refused:
        forecast.of_schedule(schedule.id, now=NOON)

    assert refused.value.fields.keys() == {"cronExpression"}


@pytest.mark.usefixtures("database")
def test_a_deleted_schedule_has_no_forecast():
    schedule = make_schedule(enabled=False, deleted_at=NOON)

    with pytest.raises(NotFound):
        forecast.of_schedule(schedule.id, now=NOON)
