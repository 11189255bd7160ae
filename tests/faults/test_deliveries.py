"""Messages that are delivered again and again."""

import threading
from contextlib import contextmanager
from uuid import UUID

import pytest
from waiting import wait_until

from shared import messages
from shared.messages import Sending
from shared.tally import Count

TIMES = 5


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


def test_a_run_whose_message_is_delivered_five_times_is_executed_once(
    system, outside, orders, checked, client
):
    agent = outside.agent(seconds=0.1)
    runs = [orders.run(agent) for _ in range(20)]
    _deliver(client, runs)

    system.start_all("scheduler", "worker", "worker")
    outside.wait_for("ended", 10)
    _deliver(client, runs)

    checked()
    _deliver(client, runs)
    system.wait_until_counted(Count.DUPLICATE_DELIVERIES, 3 * TIMES * len(runs))
    checked()
    assert sorted(line.run for line in outside.lines("began")) == sorted(map(_hex, runs))


@pytest.mark.slow
def test_messages_that_come_all_the_time_bring_no_attempt_forward(
    system, outside, orders, checked, client
):
    agent = outside.agent(fails=2, seconds=0.05)
    schedules = orders.one_time(10, agent, retry_backoff_seconds=1)
    system.start_all("scheduler", "worker", "worker")
    system.wait_for_runs(len(schedules))
    runs = list(system.snapshot().runs)

    with _delivering_all_the_time(client, runs):
        snapshot = checked()

    assert {(run["status"], run["attempt"]) for run in snapshot.runs.values()} == {("COMPLETED", 3)}
    system.wait_until_counted(Count.DUPLICATE_DELIVERIES, 100)
    for run in runs:
        told = {(line.what, line.attempt): line for line in outside.lines() if line.run == run}
        for failed, seconds in ((1, 1), (2, 2)):
            waited = told["began", failed + 1].at - told["failed", failed].at
            assert waited.total_seconds() >= seconds


@pytest.mark.slow
def test_messages_that_come_all_the_time_give_no_agent_more_places_than_it_has(
    system, outside, orders, checked, client
):
    agent = outside.agent(max_concurrency=2, seconds=0.1)
    runs = [orders.run(agent) for _ in range(40)]
    system.start_all("scheduler", "worker", "worker")

    with _delivering_all_the_time(client, runs):
        checked()  # which knows how many places there are

    system.wait_until_counted(Count.DUPLICATE_DELIVERIES, 100)
    assert len(outside.lines("began")) == 40


@pytest.mark.slow
def test_one_and_the_same_message_may_be_delivered_again_too(
    system, outside, orders, checked, client
):
    agent = outside.agent(seconds=0.1)
    system.start("scheduler")
    for _ in range(40):
        orders.run(agent)
    queued = wait_until(lambda: client.lrange("agent-manager:runs", 0, -1), "messages to be sent")
    client.rpush("agent-manager:runs", *queued * TIMES)

    system.start_all("worker", "worker")

    checked()
    assert len(outside.lines("began")) == 40
    wait_until(
        lambda: not client.hlen("agent-manager:runs.msgs"), "all messages to be deleted", timeout=20
    )


def _deliver(client, runs):
    """Send each of *runs* so many times, as often as a scheduler would at most."""
    for _ in range(TIMES):
        messages.send(client, messages.RUNS_QUEUE, [Sending(_hex(run), 0) for run in runs])


@contextmanager
def _delivering_all_the_time(client, runs):
    """Within the block, deliver *runs* again as soon as the workers have fetched what there was."""
    over = threading.Event()

    def deliver():
        while not over.wait(0.02):
            if not messages.waiting(client, messages.RUNS_QUEUE):
                _deliver(client, runs)

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hex(run_id):
    return UUID(run_id).hex
