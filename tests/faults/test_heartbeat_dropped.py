"""A worker whose heartbeats do not get through, though its agents work on."""

from operator import attrgetter

import pytest
from gates import Gate

from shared.tally import Count


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fails", "hangs"])
def test_a_worker_that_cannot_renew_its_leases_stops_its_agents_before_others_begin(
    way, system, outside, orders, checked, tmp_path
):
    agent = outside.agent(seconds=600)
    runs = [orders.run(agent) for _ in range(4)]
    system.start("scheduler")
    order = {"fails": "worker.heartbeat=raise", "hangs": Gate("worker.heartbeat", tmp_path).order}
    cut_off = system.start("worker", order[way])
    outside.wait_for("began", 4)
    system.start("worker")
    outside.wait_for("began", 4, attempt=2)

    stopped = outside.wait_for("stopped", 4)

    assert {line.pid for line in stopped} == {cut_off.pid}
    told = sorted(outside.lines(), key=attrgetter("run", "monotonic"))
    assert [(line.what, line.attempt) for line in told] == 4 * [
        ("began", 1),
        ("stopped", 1),
        ("began", 2),
    ]
    system.wait_until_counted(Count.LOST_LEASES, 4)
    for run_id in runs:
        orders.cancel(run_id)
    checked()
