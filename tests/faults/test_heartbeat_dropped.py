"""A worker whose heartbeats do not get through, though its agents work on."""

from operator import attrgetter

import pytest

from shared.tally import Count


def never_two_at_once(lines):
    """Whether each attempt at a run was over before the next one began."""
    attempts = sorted((line for line in lines), key=attrgetter("run", "monotonic"))
    told = [(line.run, line.attempt, line.what != "began") for line in attempts]
    return told == sorted(told)


@pytest.mark.slow
def test_a_worker_that_cannot_renew_its_leases_stops_its_agents_before_others_begin(
    system, outside, orders, checked
):
    agent = outside.agent(seconds=600)
    runs = [orders.run(agent) for _ in range(4)]
    system.start("scheduler")
    cut_off = system.start("worker", "worker.heartbeat=raise")
    outside.wait_for("began", 4)
    system.start("worker")
    outside.wait_for("began", 4, attempt=2)

    stopped = outside.wait_for("stopped", 4)

    assert {line.pid for line in stopped} == {cut_off.pid}
    assert never_two_at_once(outside.lines())
    system.wait_until_counted(Count.LOST_LEASES, 4)
    for run_id in runs:
        orders.cancel(run_id)
    checked()
