"""A run that is cancelled while some process stands at a failpoint."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from armed import POINTS
from gates import Gate

from shared import clock, db
from shared.errors import Conflict
from shared.tally import Count

STOPPED_WITHIN = timedelta(seconds=3)

# What becomes of the run, and whether an agent ever began with it.
OUTCOMES = dict.fromkeys(sorted(POINTS), ("CANCELLED", False)) | {
    "worker.after_claim": ("CANCELLED", True),
    "worker.heartbeat": ("CANCELLED", True),
    "agent.mid_run": ("CANCELLED", True),
    "worker.before_finish": ("COMPLETED", True),
    "worker.after_finish": ("COMPLETED", True),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", OUTCOMES)
def test_a_run_is_cancelled_or_it_is_finished(point, system, outside, orders, checked, tmp_path):
    gate = Gate(point, tmp_path)
    status, begins = OUTCOMES[point]
    agent = outside.agent(seconds=0 if status == "COMPLETED" else 600)
    with ThreadPoolExecutor() as beside:
        ordered = _bring_to(gate, system, outside, orders, agent, beside)
        (run_id,) = system.snapshot().runs
        cancelling = beside.submit(_cancel, orders, run_id)
        if not _holds_the_lock_of_sqlite(point):
            cancelling.result(20)
        if point != "worker.heartbeat":
            # There the run is lost with its lease, whether the heartbeat goes on or not.
            gate.open()
        cancelling.result(20)
        heard_at = clock.now()
        if not point.startswith(("worker.", "agent.")):
            system.start_all()
        if ordered is not None:
            ordered.result(20)

    (run,) = checked().runs.values()
    assert (run["status"], bool(outside.lines("began"))) == (status, begins)
    for line in outside.lines("stopped"):
        assert line.at < heard_at + STOPPED_WITHIN


@pytest.mark.slow
def test_an_attempt_that_failed_is_not_tried_again_if_it_was_cancelled_meanwhile(
    system, outside, orders, checked, tmp_path
):
    gate = Gate("worker.before_finish", tmp_path)
    run_id = orders.run(outside.agent(fails=1))
    system.start("scheduler")
    system.start("worker", gate.order)
    gate.wait_until_reached()

    orders.cancel(run_id)
    gate.open()

    (run,) = checked().runs.values()
    assert (run["status"], run["attempt"]) == ("CANCELLED", 1)


@pytest.mark.slow
def test_a_run_that_its_stopping_worker_would_put_back_stays_cancelled(
    system, outside, orders, checked, tmp_path
):
    gate = Gate("worker.before_finish", tmp_path)
    run_id = orders.run(outside.agent(seconds=600))
    system.start("scheduler")
    worker = system.start("worker", gate.order)
    outside.wait_for("began")
    worker.send_signal(signal.SIGTERM)
    gate.wait_until_reached()

    orders.cancel(run_id)
    gate.open()

    (run,) = checked().runs.values()
    assert (run["status"], run["attempt"], run["uncounted"]) == ("CANCELLED", 1, 0)


@pytest.mark.slow
def test_a_run_that_was_cancelled_and_lost_its_worker_is_not_made_again(
    system, outside, orders, checked
):
    run_id = orders.run(outside.agent(seconds=600))
    system.start("scheduler")
    worker = system.start("worker")
    outside.wait_for("began")
    system.freeze(worker)

    orders.cancel(run_id)
    system.kill(worker)

    system.start("worker")
    (run,) = checked().runs.values()
    assert (run["status"], run["attempt"]) == ("CANCELLED", 1)
    system.wait_until_counted(Count.LOST_LEASES)


def _bring_to(gate, system, outside, orders, agent, beside):
    """Have a run made, and a process that has to do with it stand at *gate*.

    What is to be waited for once that is open, if there is something.
    """
    ordered = None
    match gate.point.split("."):
        case ["scheduler", moment] if moment.startswith("before"):
            orders.run(agent)
            system.start("scheduler", gate.order)
        case ["scheduler", _]:
            orders.one_time(1, agent)
            orders.wait_until_due()
            system.start("scheduler", gate.order)
        case ["api", _]:
            system.start("web", gate.order)
            ordered = beside.submit(orders.run, agent, by_api=True)
        case _:
            orders.run(agent)
            system.start("scheduler")
            system.start("worker", gate.order)
    gate.wait_until_reached()
    if gate.point == "worker.heartbeat":
        outside.wait_for("began")
    return ordered


def _cancel(orders, run_id):
    """Cancel a run, unless it has ended."""
    with db.connection(), suppress(Conflict):
        orders.cancel(run_id)


def _holds_the_lock_of_sqlite(point):
    return db.is_sqlite() and point in {"scheduler.before_insert", "scheduler.before_commit"}
