"""A worker that stands still for longer than its lease, and then goes on as if nothing were.

Those that freeze themselves send no heartbeat before: one that froze amid its transaction would
stop everybody else on SQLite.
"""

import pytest
from gates import Gate

from shared.tally import Count


@pytest.fixture
def beats(tmp_path):
    """Where a worker's first heartbeat waits."""
    return Gate("worker.heartbeat", tmp_path)


def test_a_worker_that_thaws_writes_no_result_over_the_attempt_of_another(
    beats, system, outside, orders, checked, tmp_path
):
    works = Gate("agent.mid_run", tmp_path)
    run_id = orders.run(outside.agent())
    system.start("scheduler")
    frozen = system.start("worker", f"worker.before_finish=freeze,{beats.order}")
    system.wait_for_ice(frozen)
    system.start("worker", works.order)
    works.wait_until_reached()

    system.thaw(frozen)
    beats.open()
    system.wait_until_counted(Count.LATE_WRITES_REFUSED)
    works.open()

    snapshot = checked()
    assert snapshot.runs[run_id.replace("-", "")]["content"] == "Go (attempt 2)"
    system.wait_until_said("was no longer ours; what came of it is dropped")


@pytest.mark.slow
def test_a_worker_that_thaws_changes_nothing_of_a_run_that_has_ended(
    beats, system, outside, orders, checked
):
    orders.run(outside.agent())
    system.start("scheduler")
    frozen = system.start("worker", f"worker.before_finish=freeze,{beats.order}")
    system.wait_for_ice(frozen)
    system.start("worker")
    ended = system.wait_until_quiet()

    system.thaw(frozen)
    beats.open()
    system.wait_until_counted(Count.LATE_WRITES_REFUSED)

    checked(earlier=[ended])


@pytest.mark.slow
def test_a_worker_that_thaws_stops_the_agents_that_others_have_taken_over(
    system, outside, orders, checked
):
    agent = outside.agent(seconds=600)
    runs = [orders.run(agent) for _ in range(4)]
    system.start("scheduler")
    frozen = system.start("worker")
    outside.wait_for("began", 4)
    system.freeze(frozen)
    system.start("worker")
    outside.wait_for("began", 4, attempt=2)

    system.thaw(frozen)

    stopped = outside.wait_for("stopped", 4)
    assert {(line.attempt, line.pid) for line in stopped} == {(1, frozen.pid)}
    system.wait_until_counted(Count.LOST_LEASES, 4)
    for run_id in runs:
        orders.cancel(run_id)
    snapshot = checked()
    assert {(run["status"], run["attempt"]) for run in snapshot.runs.values()} == {("CANCELLED", 2)}


@pytest.mark.slow
def test_a_worker_that_thaws_begins_nothing_that_it_has_lost_and_works_on(
    beats, system, outside, orders, checked
):
    agent = outside.agent()
    system.start("scheduler")
    frozen = system.start("worker", f"worker.after_claim=freeze,{beats.order}")
    lost = orders.run(agent)
    system.wait_for_ice(frozen)
    system.wait_until_counted(Count.LOST_LEASES)

    system.thaw(frozen)
    beats.open()
    for _ in range(20):
        orders.run(agent)

    checked()
    assert {line.pid for line in outside.lines("ended")} == {frozen.pid}
    began = [line.attempt for line in outside.lines("began") if line.run == lost.replace("-", "")]
    assert began == [2]
