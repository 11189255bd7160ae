"""A wall clock that is set is noticed."""

from datetime import timedelta

import pytest
from factories import NOON

from shared import tally
from shared.clock_watch import ClockWatch
from shared.tally import Count

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def counted(monkeypatch):
    counted = []
    monkeypatch.setattr(tally, "add", counted.append)
    return counted


def steps(*looks):
    """What a watch makes of each look: the wall clock after noon, the monotonic one."""
    watch = ClockWatch()
    return [watch.look(NOON + after_noon, moment) for after_noon, moment in looks]


def test_clocks_that_go_on_alike_are_no_step(counted, caplog):
    assert steps((0 * SECOND, 50.0), (60 * SECOND, 110.0), (HOUR, 3650.0)) == [timedelta()] * 3
    assert (counted, caplog.messages) == ([], [])


@pytest.mark.parametrize("apart", [SECOND, -SECOND])
def test_a_second_either_way_is_no_step(counted, apart):
    assert steps((0 * SECOND, 0.0), (10 * SECOND + apart, 10.0))[1] == timedelta()
    assert counted == []


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (2 * HOUR, "the clock was set forward by 7200.0 s, or this host slept"),
        (-2 * HOUR, "the clock was set back by 7200.0 s, or this host slept"),
    ],
)
def test_a_step_is_measured_said_and_counted(counted, caplog, step, says):
    assert steps((0 * SECOND, 0.0), (10 * SECOND + step, 10.0))[1] == step

    assert counted == [Count.CLOCK_STEPS]
    assert caplog.messages == [says]


def test_a_step_is_said_once(counted):
    looks = [(0 * SECOND, 0.0), (HOUR + SECOND, 1.0), (HOUR + 2 * SECOND, 2.0)]

    assert steps(*looks) == [timedelta(), HOUR, timedelta()]
    assert len(counted) == 1


def test_steps_there_and_back_are_two(counted):
    looks = [(0 * SECOND, 0.0), (HOUR + SECOND, 1.0), (2 * SECOND, 2.0)]

    assert steps(*looks) == [timedelta(), HOUR, -HOUR]
    assert len(counted) == 2
