"""`maxConcurrency` of an agent: never exceeded and used up, whoever sends and whoever dies."""

import math
import threading
import time

import pytest
from waiting import wait_until

LIMITS = (1, 2, 5)


def test_as_many_runs_of_an_agent_go_at_once_as_it_may_and_no_more(
    system, outside, orders, checked
):
    agent = outside.agent(max_concurrency=2, seconds=0.2)
    orders.one_time(5, agent)
    for _ in range(5):
        orders.run(agent)

    system.start_all()

    checked()
    assert most_at_once(outside.lines()) == 2


@pytest.mark.slow
def test_limits_hold_with_many_schedulers_workers_and_triggers_while_workers_die_and_freeze(
    system, outside, orders, checked
):
    agents = {outside.agent(max_concurrency=limit, seconds=0.3): limit for limit in LIMITS}
    flaky = outside.agent(max_concurrency=2, seconds=0.3, fails=1)
    orders.one_time(10, flaky, retry_backoff_seconds=0)
    for agent, limit in agents.items():
        orders.one_time(10 * limit, agent)
    system.start_all("web", "scheduler", "scheduler", "scheduler")
    mortal = [system.start("worker", "agent.mid_run=kill@5") for _ in range(2)]
    frozen = system.start("worker")

    asking = [in_thread(trigger, orders, agent, 10) for agent in agents for _ in range(2)]
    outside.wait_for("ended", 10)
    system.freeze(frozen)
    for worker in mortal:
        system.wait_for_death(worker)
        system.start("worker")
    outside.wait_for("began", 2, attempt=2)
    system.thaw(frozen)
    for thread in asking:
        thread.join(60)

    checked()
    assert len(orders.runs) == 60
    # What a frozen worker held was taken from it, and went on once it was thawed.
    latest = {line.run: line.attempt for line in outside.lines("began")}
    lines = [
        line
        for line in outside.lines()
        if line.pid != frozen.pid or line.attempt == latest[line.run]
    ]
    for agent, limit in agents.items():
        assert most_at_once([line for line in lines if line.agent == agent]) == limit


@pytest.mark.slow
def test_a_limit_that_is_changed_holds_from_then_on(system, outside, orders, checked):
    agent = outside.agent(max_concurrency=5, seconds=0.3)
    for _ in range(60):
        orders.run(agent)
    system.start_all("web", "scheduler", "scheduler", "worker", "worker")
    wait_until(lambda: most_at_once(outside.lines()) == 5, "all places to be taken", timeout=60)

    change_limit(system, agent, 1)
    lowered = outside.wait_for("began", len(outside.lines("began")) + 10)
    # Five may have been on their way already.
    alone = lowered[-4].monotonic
    raised = time.monotonic()
    change_limit(system, agent, 5)

    checked(timeout=90)
    lines = outside.lines()
    assert most_at_once(lines, since=alone, until=raised) == 1
    assert most_at_once(lines, since=raised) == 5


@pytest.mark.slow
def test_a_place_that_comes_free_is_not_left_so_until_the_next_dispatch(
    system, outside, orders, checked
):
    system.environ["AGENT_MANAGER_DISPATCH_INTERVAL"] = "2"
    agent = outside.agent(max_concurrency=1, seconds=0.2)
    for _ in range(20):
        orders.run(agent)

    system.start_all()

    checked()
    began = [line.monotonic for line in outside.lines("began")]
    assert max(began) - min(began) < 20 * 1


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def trigger(orders, agent, times):
    """Ask the API for so many runs, one after the other."""
    for _ in range(times):
        orders.run(agent, by_api=True)


def change_limit(system, agent, most):
    """Have the API limit an agent to so many runs at once."""
    fields = {"name": agent, "kind": "outside", "maxConcurrency": most}
    status, answer = system.call("PUT", f"/api/v1/agents/{agent}", fields)
    assert status == 200, answer


def most_at_once(lines, *, since=0.0, until=math.inf):
    """How many attempts went on at once, at most, of those that came to an end."""
    over = {(line.run, line.attempt) for line in lines if line.what != "began"}
    changes = sorted(
        (line.monotonic, 1 if line.what == "began" else -1)
        for line in lines
        if (line.run, line.attempt) in over
    )
    most = going_on = 0
    for at, change in changes:
        going_on += change
        if since <= at < until:
            most = max(most, going_on)
    return most
