"""What a batch will cost: a range that is honest, and null with the reason where nobody knows."""

from datetime import timedelta
from decimal import Decimal

import pytest
from factories import NOON, make_run

from shared.batches import estimates
from shared.batches.estimates import Estimate
from shared.ids import uuid7
from shared.measuring import Range
from shared.states import CANCELLED, COMPLETED, FAILED, PAUSED, QUEUED

SECOND = timedelta(seconds=1)
# A hundredth of a cent a second, for each of four threads.
PRICE, THREADS = Decimal("1.44"), 4


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate(Range(0.0, 12.5), 3, "Without the time on machines."),
        Estimate(Range(1.5, 2.5), 200),
        Estimate(None, 0, "Nobody knows."),
    ],
)
def test_what_is_put_on_record_can_be_read_again(estimate):
    assert Estimate.from_json(estimate.as_json()) == estimate


def test_of_a_batch_that_has_no_estimate_on_record_nothing_is_known():
    assert Estimate.from_json({}).range is None


@pytest.mark.parametrize(
    ("seconds", "price", "threads", "usd"),
    [
        (3600, "36", 1, "36"),
        (1, "36", 4, "0.0025"),
        (0.5, "0.042", 8, "0.000001"),
        (10, "0", 4, "0"),
        (-1, "36", 4, "0"),
    ],
)
def test_time_on_a_machine_costs_its_share_of_the_price_of_an_hour(seconds, price, threads, usd):
    assert estimates.compute_usd(seconds, Decimal(price), threads) == Decimal(usd)


@pytest.fixture
def ended(database):
    """Makes a run that took so long, one after the other."""
    made = []

    def make(seconds=10, cost=None, *, agent="echo", status=COMPLETED):
        at = NOON + len(made) * SECOND
        made.append(
            make_run(
                agent,
                id=uuid7(at),
                status=status,
                attempt=1,
                started_at=at,
                finished_at=None if status in {QUEUED, PAUSED} else at + seconds * SECOND,
                cost_usd=cost,
            )
        )

    return make


def before(items=100, *, price=PRICE):
    return estimates.before(
        "echo", items, compute="spot-large", price_per_hour=price, threads=THREADS
    )


def test_of_an_agent_that_has_never_run_nothing_is_known(ended):
    ended(cost=Decimal(1), agent="another")
    for status in (QUEUED, PAUSED, CANCELLED):
        ended(cost=Decimal(1), status=status)

    assert before() == Estimate(None, 0, "No run of agent echo has been measured yet.")


@pytest.mark.parametrize("price", [None, Decimal(0)])
def test_where_neither_has_a_price_nothing_is_known(ended, price):
    ended()

    assert before(price=price) == Estimate(
        None,
        1,
        "The runs of agent echo report no cost, and compute profile spot-large has no price.",
    )


def test_what_agents_report_and_what_time_costs_is_added_up(ended):
    for _ in range(3):
        ended(seconds=10, cost=Decimal("0.25"))

    estimate = before(100)

    assert estimate.range == pytest.approx((100 * (0.25 + 0.001),) * 2)
    assert (estimate.measured_runs, estimate.says) == (3, None)


def test_where_agents_report_no_cost_it_is_that_of_the_time(ended):
    for _ in range(3):
        ended(seconds=10)

    estimate = before(100)

    assert estimate.range == pytest.approx((0.1, 0.1))
    assert estimate.says == (
        "Time on machines only: the runs of agent echo report no cost of their own."
    )


def test_where_time_has_no_price_it_is_what_agents_report(ended):
    for _ in range(3):
        ended(cost=Decimal("0.25"))

    estimate = before(100, price=None)

    assert estimate.range == pytest.approx((25, 25))
    assert estimate.says == (
        "Without the time on machines: compute profile spot-large has no price."
    )


def test_time_for_nothing_is_known_to_cost_nothing(ended):
    for _ in range(3):
        ended(cost=Decimal("0.25"))

    assert before(100, price=Decimal(0)) == Estimate(Range(25, 25), 3)


def test_failed_runs_cost_as_well(ended):
    for status in (COMPLETED, FAILED):
        ended(cost=Decimal("0.25"), status=status)

    assert before(100, price=Decimal(0)) == Estimate(Range(25, 25), 2)


def test_it_is_the_latest_that_count(ended):
    for cost in [Decimal(100)] * 5 + [Decimal("0.25")] * 200:
        ended(cost=cost)

    estimate = before(100, price=None)

    assert (estimate.range, estimate.measured_runs) == ((25, 25), 200)


def test_a_run_that_ended_before_it_began_by_the_clocks_of_two_workers_took_no_time(ended):
    for _ in range(3):
        ended(seconds=-1)

    assert before(100).range == (0, 0)
