"""What a batch will cost: a range that is honest, and null with the reason where nobody knows."""

from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from factories import NOON, make_run
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.batches import estimates
from shared.batches.estimates import Estimate, Measured, Range
from shared.ids import uuid7
from shared.states import CANCELLED, COMPLETED, FAILED, PAUSED, QUEUED

SECOND = timedelta(seconds=1)
# The same examples on every machine, however slow it is.
STEADY = settings(deadline=None, derandomize=True)
COSTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)
ITEMS = st.integers(0, 1_000_000)
# A hundredth of a cent a second, for each of four threads.
PRICE, THREADS = Decimal("1.44"), 4


@STEADY
@given(COSTS, ITEMS)
def test_a_range_has_the_mean_in_it_and_is_never_below_nothing(costs, items):
    measured = Measured.of(costs)

    low, high = measured.range_of(items)

    assert 0 <= low <= high
    assert low * 0.999 <= measured.mean * items <= high * 1.001


@STEADY
@given(COSTS, ITEMS, st.integers(1, 1000))
def test_more_items_may_cost_more(costs, items, more):
    measured = Measured.of(costs)

    assert measured.range_of(items).high <= measured.range_of(items + more).high
    assert measured.range_of(0) == (0, 0)


@STEADY
@given(COSTS.filter(lambda costs: max(costs) > 1.01 * min(costs)), ITEMS, st.integers(2, 20))
def test_the_more_was_measured_the_less_may_it_be(costs, items, times):
    once, many = (Measured.of(each).range_of(items) for each in (costs, costs * times))

    assert many.low >= once.low * 0.999
    assert many.high <= once.high * 1.001


def test_one_that_was_measured_says_nothing_of_how_far_they_lie_apart():
    low, high = Measured.of([2.0]).range_of(100)

    assert 0 < low < 200 / 2
    assert high > 2 * 200


def test_however_many_were_measured_they_may_drift():
    low, high = Measured.of([1.0, 1.2, 1.4] * 1_000_000).range_of(1000)

    assert low < 0.91 * 1200
    assert high > 1.09 * 1200


def test_what_always_cost_the_same_will():
    assert Measured.of([0.25] * 3).range_of(1000) == (250, 250)


DISTRIBUTIONS = {
    "normal": lambda chance: max(chance.gauss(1, 0.25), 0),
    "uniform": lambda chance: chance.random(),
    "exponential": lambda chance: chance.expovariate(1),
    "of two kinds": lambda chance: 1.0 if chance.random() < 0.3 else 0.1,
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("measured", "items"), [(20, 5), (20, 500), (200, 10), (200, 1000)])
def test_19_of_20_sums_are_within_their_range(distribution, measured, items):
    assert hits(DISTRIBUTIONS[distribution], measured, items) > 0.88


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_of_many_that_were_measured_a_range_is_no_wider_than_it_has_to_be(distribution):
    chance = Random(22)
    measured = Measured.of([DISTRIBUTIONS[distribution](chance) for _ in range(200)])

    low, high = measured.range_of(1000)

    assert high - low < 0.5 * 1000 * measured.mean


@pytest.mark.parametrize("measured", [2, 3, 5, 10])
def test_of_few_costs_that_are_normal_no_less_is_said(measured):
    assert 0.91 < hits(DISTRIBUTIONS["normal"], measured, 100) < 0.99


def hits(cost, measured, items):
    """How often the sum of *items* is within the range that as many as *measured* make of it."""
    chance, found = Random(22), 0
    for _ in range(300):
        low, high = Measured.of([cost(chance) for _ in range(measured)]).range_of(items)
        found += low <= sum(cost(chance) for _ in range(items)) <= high
    return found / 300


def test_ranges_can_be_added_up_and_shared():
    assert Range(1, 2) + Range(3, 5) == Range(4, 7)
    assert Range(4, 8).times(0.25) == Range(1, 2)


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
