"""How fast a batch goes, and how long it takes yet: few samples, and a range that is honest."""

from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from factories import NOON
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.batches import pace

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
# How many items end in each second, and for how many seconds.
COURSES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 1000)), min_size=1, max_size=6)
NUMBERS = st.integers(0, 100_000_000)
# The same examples on every machine, however slow it is.
STEADY = settings(deadline=None, derandomize=True)


class Batch:
    """A batch as it is looked at each second."""

    def __init__(self):
        self.now, self.ended, self.samples = NOON, 0, []

    def go_on(self, *, each_second, seconds):
        for _ in range(seconds):
            self.now += SECOND
            self.ended += each_second
            self.samples = pace.sampled(self.samples, self.ended, self.now) or self.samples

    def time_left(self, left):
        return pace.time_left(self.samples, ended=self.ended, left=left, now=self.now)


def gone(*course):
    """A batch after *course*."""
    batch = Batch()
    for each_second, seconds in course:
        batch.go_on(each_second=each_second, seconds=seconds)
    return batch


@STEADY
@given(COURSES)
def test_samples_stay_few_and_in_order_and_reach_to_the_latest(course):
    batch = gone(*course)

    assert len(batch.samples) <= 24
    assert batch.samples == sorted(batch.samples)
    assert len({at for at, _ in batch.samples}) == len(batch.samples)
    assert all(0 <= ended <= batch.ended for _, ended in batch.samples)
    if batch.ended:
        seconds = batch.now.timestamp() - batch.samples[0][0]
        gaps = pairwise([*(at for at, _ in batch.samples), batch.now.timestamp()])
        assert max(later - sooner for sooner, later in gaps) <= max(2, seconds / 6)


@STEADY
@given(COURSES, NUMBERS)
def test_a_time_left_is_a_range_and_never_less_than_nothing(course, left):
    found = gone(*course).time_left(left)

    if found is not None:
        assert timedelta() <= found.low <= found.high
        assert (found.high > found.low) is (left > 0)


@STEADY
@given(st.integers(1, 50), st.integers(30, 1000), st.integers(1, 1000), st.integers(1, 1000))
def test_the_time_left_grows_with_what_is_left_and_shrinks_as_that_gets_done(
    each_second, seconds, left, more
):
    batch = gone((each_second, seconds))
    assert batch.time_left(left).low < batch.time_left(left + more).low
    assert batch.time_left(left).high < batch.time_left(left + more).high
    before = batch.time_left(2 * left * each_second)

    batch.go_on(each_second=each_second, seconds=left)

    after = batch.time_left(left * each_second)
    assert (after.low < before.low, after.high < before.high) == (True, True)


@pytest.mark.parametrize("hours", [1, 12])
def test_at_a_steady_pace_the_time_left_is_what_it_will_be(hours):
    batch = gone((3, hours * 3600))

    low, high = batch.time_left(3 * 3600)

    assert low < HOUR < high
    assert high - low < HOUR / 10


def test_time_left_stands_for_a_hundred_years_where_it_is_more():
    samples = [(NOON.timestamp(), 0)]

    found = pace.time_left(samples, ended=5, left=100_000_000, now=NOON + 60 * SECOND)

    assert found.low < found.high == timedelta(days=36_500)
    later = pace.time_left(samples, ended=5, left=100_000_000, now=NOON + 10_000 * HOUR)
    assert later.low == later.high == timedelta(days=36_500)


@pytest.mark.parametrize("ended", [0, 4])
def test_of_few_that_ended_nothing_is_known(ended):
    samples = [(NOON.timestamp(), 0)]

    assert pace.time_left(samples, ended=ended, left=9, now=NOON + HOUR) is None
    assert pace.time_left(samples, ended=5, left=9, now=NOON + HOUR) is not None
    assert pace.time_left([], ended=5, left=9, now=NOON + HOUR) is None


def test_a_clock_that_was_set_back_tells_no_pace():
    samples = [(NOON.timestamp(), 1)]

    assert pace.time_left(samples, ended=100, left=9, now=NOON - SECOND) is None
    assert pace.time_left(samples, ended=100, left=9, now=NOON) is None
    assert pace.sampled(samples, 100, NOON - SECOND) is None


@pytest.mark.parametrize("minutes", range(60, 180, 10))
def test_it_follows_a_change_of_pace_as_long_again_later_at_the_latest(minutes):
    batch = gone((1, 3600), (10, minutes * 60))

    low, high = batch.time_left(36_000)

    assert low < HOUR < high < 1.1 * HOUR


def test_a_batch_that_stands_still_takes_ever_longer():
    batch = gone((10, 600))
    before = batch.time_left(6000)

    batch.go_on(each_second=0, seconds=1200)

    assert batch.time_left(6000).low > before.high


@pytest.mark.parametrize("hours", [0, 1, 24])
def test_how_long_it_waited_for_its_first_worker_says_nothing_of_its_pace(hours):
    batch = gone((0, hours * 3600), (10, 60))

    low, high = batch.time_left(600)

    assert low < 60 * SECOND < high < 90 * SECOND


def test_how_long_it_waited_for_a_worker_after_a_pause_says_nothing_either():
    samples = pace.sampled([], 50, NOON)

    waited = pace.sampled(samples, 50, NOON + HOUR)
    goes_on = pace.sampled(samples, 52, NOON + HOUR)

    assert (waited, goes_on) == (None, [((NOON + HOUR).timestamp(), 52)])


def test_after_nobody_looked_for_a_while_samples_are_taken_as_before():
    batch = gone((10, 60))
    batch.now += 24 * HOUR

    batch.go_on(each_second=10, seconds=60)

    low, high = batch.time_left(600)
    assert low < 60 * SECOND < high < 90 * SECOND


@pytest.mark.parametrize("seconds", [10, 60, 600])
def test_of_items_that_end_by_chance_the_range_has_what_it_says(seconds):
    chance, hits, each_second = Random(7), 0, 2.0
    for _ in range(1000):
        arrived, at = 0, chance.expovariate(each_second)
        while at < seconds:
            arrived, at = arrived + 1, at + chance.expovariate(each_second)
        found = pace.time_left(
            [(NOON.timestamp(), 0)], ended=arrived, left=7200, now=NOON + seconds * SECOND
        )
        hits += found.low <= HOUR <= found.high

    assert 0.93 < hits / 1000 < 0.98
