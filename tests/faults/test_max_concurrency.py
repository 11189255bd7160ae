"""`maxConcurrency` of an agent: never exceeded, and used up, whoever sends and whoever dies."""

import threading
from itertools import pairwise

import pytest
from waiting import wait_until

LIMITS = (1, 2, 5)
# A place that is free is seen at the next dispatch, and its run is on its way then.
SOON = 1.5


def test_as_many_runs_of_an_agent_go_at_once_as_it_may_and_no_more(
    system, outside, orders, checked
):
    agent = outside.agent(max_concurrency=2, seconds=0.2)
    orders.one_time(6, agent)
    for _ in range(6):
        orders.run(agent)

    system.start_all("scheduler", "worker")

    checked()
    assert most_at_once(outside.lines()) == 2


@pytest.mark.slow
def test_limits_hold_with_many_schedulers_workers_and_triggers_while_workers_are_killed(
    system, outside, orders, checked
):
    agents = {outside.agent(max_concurrency=limit, seconds=0.3): limit for limit in LIMITS}
    for agent, limit in agents.items():
        orders.one_time(10 * limit, agent)
    system.start_all("web", *["scheduler"] * 3, *["worker"] * 3)

    asked = [in_thread(trigger_often, orders, agent, 10) for agent in agents for _ in range(2)]
    for _ in range(2):
        outside.wait_for("ended", len(outside.lines("ended")) + 10)
        system.kill(system.start("worker"))
    for thread in asked:
        thread.join(60)

    checked()
    for agent, limit in agents.items():
        assert most_at_once(of(agent, outside.lines())) == limit


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def trigger_often(orders, agent, times):
    for _ in range(times):
        orders.run(agent, by_api=True)


def of(agent, lines):
    """The *lines* of one agent."""
    return [line for line in lines if line.agent == agent]


def changes(lines):
    """When how many more were going on, or fewer: (instant, +1 or -1), in order."""
    return sorted((line.monotonic, 1 if line.what == "began" else -1) for line in lines)


def most_at_once(lines):
    """How many attempts were going on at once, at most."""
    most = going_on = 0
    for _, change in changes(lines):
        going_on += change
        most = max(most, going_on)
    return most


def longest_waste(lines, limit):
    """For how many seconds a place stayed free, at longest, before the last run began."""
    going_on, longest = 0, 0.0
    last = max(line.monotonic for line in lines if line.what == "began")
    for (at, change), (then, _) in pairwise(changes(lines)):
        going_on += change
        if going_on < limit and at < last:
            longest = max(longest, then - at)
    return longest
