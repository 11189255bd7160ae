"""Redis is away or stands still: what comes meanwhile is accepted and recorded in time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psutil
import pytest
import redis
from servers import Valkey

from shared import clock

SECOND = timedelta(seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [5, 60])
def test_what_came_while_redis_was_down_was_accepted_at_once_and_runs_when_it_is_back(
    seconds, system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.2)
    processes = system.start_all("web", "scheduler", "worker")
    orders.run(agent, by_api=True)
    outside.wait_for("ended")

    own_valkey.stop()
    last = fire_each_second(orders, agent, seconds)
    answered = trigger_until(last, orders, agent)
    if seconds >= 60:
        for doing in ("dispatch", "fetch messages from Redis"):
            system.wait_until_said(f"cannot {doing}, will keep trying", times=2, timeout=90)
    assert len(outside.lines("began")) == 1
    own_valkey.start()

    snapshot = checked()
    assert_recorded_within(2 * SECOND, snapshot)
    assert max(answered) < 2
    assert len(outside.lines("ended")) == 1 + seconds + len(answered)
    assert [process.poll() for process in processes] == [None] * 3
    for doing in ("dispatch", "fetch messages from Redis"):
        assert system.logs().count(f"cannot {doing}, will keep trying") == 1 + seconds // 60
        system.wait_until_said(f"can {doing} again")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [10, 45])
def test_a_redis_that_stands_still_holds_up_no_tick_and_nobody_for_ever(
    seconds, system, outside, orders, checked, own_valkey
):
    agent, long = outside.agent(seconds=0.2), outside.agent(seconds=5)
    processes = system.start_all("web", "scheduler", "worker")
    orders.run(long)
    outside.wait_for("began")

    with standing_still(own_valkey):
        last = fire_each_second(orders, agent, seconds)
        answered = trigger_until(last, orders, agent)
        assert [line.what for line in outside.lines()] == ["began", "ended"]

    snapshot = checked()
    # It looks for Redis each second, and waits for it for another.
    assert_recorded_within(3 * SECOND, snapshot)
    assert max(answered) < 3
    assert len(outside.lines("ended")) == 1 + seconds + len(answered)
    assert [process.poll() for process in processes] == [None] * 3


@pytest.mark.slow
def test_a_network_that_swallows_packets_holds_up_nobody_for_ever(
    system, outside, orders, checked, redis_proxy
):
    agent = outside.agent(seconds=0.2)
    processes = system.start_all("scheduler", "worker")
    orders.run(agent)
    outside.wait_for("ended")

    redis_proxy.strand()
    orders.one_time(10, agent)

    checked()
    assert redis_proxy.held
    assert len(outside.lines("ended")) == 11
    assert [process.poll() for process in processes] == [None] * 2


def fire_each_second(orders, agent, seconds):
    """Make a schedule for each of so many seconds; the instant of the last."""
    first = clock.now() + 2 * SECOND
    instants = [first + number * SECOND for number in range(seconds)]
    for instant in instants:
        orders.one_time(1, agent, at=instant)
    return instants[-1]


def trigger_until(last, orders, agent):
    """Ask the API for a run each second until *last*; how many seconds each answer took."""
    took = []
    while clock.now() < last:
        started = time.monotonic()
        orders.run(agent, by_api=True)
        took.append(time.monotonic() - started)
        orders.wait_until_due(min(clock.now() + SECOND, last))
    return took


def assert_recorded_within(most, snapshot):
    """No run was recorded later than *most* after its instant."""
    scheduled = [run for run in snapshot.runs.values() if run["scheduled_for"]]
    assert max(run["queued_at"] - run["scheduled_for"] for run in scheduled) < most


@contextmanager
def standing_still(server: Valkey) -> Iterator[None]:
    """Stop the process of *server*, which keeps its connections."""
    with redis.from_url(server.url) as client:
        process = psutil.Process(client.info("server")["process_id"])
    process.suspend()
    try:
        yield
    finally:
        process.resume()
