"""What more runs will cost, by what others have: a range that is honest."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.measuring import Measured, Range

# The same examples on every machine, however slow it is.
STEADY = settings(deadline=None, derandomize=True)
COSTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)
RUNS = st.integers(0, 1_000_000)


@STEADY
@given(COSTS, RUNS)
def test_a_range_has_the_mean_in_it_and_is_never_below_nothing(costs, runs):
    measured = Measured.of(costs)

    low, high = measured.range_of(runs)

    assert 0 <= low <= high
    assert low * 0.999 <= measured.mean * runs <= high * 1.001


@STEADY
@given(COSTS, RUNS, st.integers(1, 1000))
def test_more_runs_may_cost_more(costs, runs, more):
    measured = Measured.of(costs)

    assert measured.range_of(runs).high <= measured.range_of(runs + more).high
    assert measured.range_of(0) == (0, 0)


@STEADY
@given(COSTS.filter(lambda costs: max(costs) > 1.01 * min(costs)), RUNS, st.integers(2, 20))
def test_the_more_was_measured_the_less_may_it_be(costs, runs, times):
    once, many = (Measured.of(each).range_of(runs) for each in (costs, costs * times))

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
@pytest.mark.parametrize(("measured", "runs"), [(20, 5), (20, 500), (200, 10), (200, 1000)])
def test_19_of_20_sums_are_within_their_range(distribution, measured, runs):
    assert hits(DISTRIBUTIONS[distribution], measured, runs) > 0.88


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_of_many_that_were_measured_a_range_is_no_wider_than_it_has_to_be(distribution):
    chance = Random(22)
    measured = Measured.of([DISTRIBUTIONS[distribution](chance) for _ in range(200)])

    low, high = measured.range_of(1000)

    assert high - low < 0.5 * 1000 * measured.mean


@pytest.mark.parametrize("measured", [2, 3, 5, 10])
def test_of_few_costs_that_are_normal_no_less_is_said(measured):
    assert 0.91 < hits(DISTRIBUTIONS["normal"], measured, 100) < 0.99


def hits(cost, measured, runs):
    """How often the sum of *runs* is within the range that as many as *measured* make of it."""
    chance, found = Random(22), 0
    for _ in range(300):
        low, high = Measured.of([cost(chance) for _ in range(measured)]).range_of(runs)
        found += low <= sum(cost(chance) for _ in range(runs)) <= high
    return found / 300


def test_ranges_can_be_added_up_and_shared():
    assert Range(1, 2) + Range(3, 5) == Range(4, 7)
    assert Range(4, 8).times(0.25) == Range(1, 2)
