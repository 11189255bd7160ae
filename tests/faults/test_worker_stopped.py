"""SIGTERM: what a worker holds is finished or put back, and nothing counts as an attempt."""

import signal
import threading
from contextlib import contextmanager
from itertools import count

import pytest
from gates import Gate
from waiting import wait_until

# What a worker that is told to stop leaves to leases or to a second sending takes too long.
PATIENT = {
    "AGENT_MANAGER_RUN_LEASE": "300",
    "AGENT_MANAGER_RESEND_AFTER": "300",
    "AGENT_MANAGER_SHUTDOWN_GRACE": "3",
}


@pytest.fixture(autouse=True)
def _patient(system):
    system.environ |= PATIENT


def terminate(worker):
    worker.send_signal(signal.SIGTERM)


def wait_for_end(worker, *, timeout=20):
    """Wait until a worker has ended as it should."""
    wait_until(lambda: worker.poll() is not None, "a worker to end", timeout=timeout)
    assert worker.returncode == 0


def test_what_does_not_end_in_time_is_put_back_and_what_does_is_finished(
    system, outside, orders, checked
):
    short, long = outside.agent(seconds=0.5), outside.agent(seconds=600)
    runs = {agent: [orders.run(agent, max_attempts=1) for _ in "ab"] for agent in (short, long)}
    system.start("scheduler")
    stopped = system.start("worker")
    outside.wait_for("began", 4)

    terminate(stopped)
    wait_for_end(stopped)

    system.start("worker")
    outside.wait_for("began", 2, attempt=2)
    for run_id in runs[long]:
        orders.cancel(run_id)
    snapshot = checked()
    assert {line.agent for line in outside.lines("ended")} == {short}
    ended = {run["agent_id"]: run for run in snapshot.runs.values()}
    assert (ended[short]["status"], ended[short]["attempt"]) == ("COMPLETED", 1)
    assert (ended[long]["status"], ended[long]["attempt"]) == ("CANCELLED", 2)
    assert ended[long]["uncounted"] == 1


@pytest.mark.slow
def test_a_second_signal_ends_the_wait(system, outside, orders, checked):
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "600"
    agent = outside.agent(seconds=600)
    runs = [orders.run(agent, max_attempts=1) for _ in range(4)]
    system.start("scheduler")
    stopped = system.start("worker")
    outside.wait_for("began", 4)
    terminate(stopped)
    system.wait_until_said("drains for up to 600 s")

    terminate(stopped)
    wait_for_end(stopped)

    assert len(outside.lines("stopped")) == 4
    system.start("worker")
    outside.wait_for("began", 4, attempt=2)
    for run_id in runs:
        orders.cancel(run_id)
    checked()


@pytest.mark.slow
def test_an_agent_that_ignores_it_is_left_behind_after_a_third_signal(
    system, outside, orders, checked
):
    system.environ["AGENT_MANAGER_RUN_LEASE"] = "2"
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "600"
    orders.run(outside.agent(seconds=600, ignoresStop=True), max_attempts=1)
    system.start("scheduler")
    stopped = system.start("worker")
    outside.wait_for("began")
    for said in ("drains for up to", "drains for up to", "stopped"):
        terminate(stopped)
        system.wait_until_said(said)

    wait_for_end(stopped)

    snapshot = checked()
    assert [run["error"]["code"] for run in snapshot.runs.values()] == ["WORKER_LOST"]


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_before_it_claims_leaves_the_run_to_others(
    system, outside, orders, checked, tmp_path
):
    gate = Gate("worker.before_claim", tmp_path)
    system.start("scheduler")
    stopped = system.start("worker", gate.order)
    orders.run(outside.agent(), max_attempts=1)
    gate.wait_until_reached()

    terminate(stopped)
    system.wait_until_said("drains for up to")
    gate.open()
    wait_for_end(stopped)

    system.start("worker")
    checked()
    assert [line.attempt for line in outside.lines("began")] == [1]


@pytest.mark.slow
def test_workers_that_are_stopped_one_after_another_under_load_lose_nothing(
    system, outside, orders, checked
):
    agents = [outside.agent(seconds=seconds) for seconds in (0, 0.05, 0.3)]
    system.start("scheduler")
    worker = system.start("worker")
    with _keeping_busy(orders, outside, agents):
        for _ in range(3):
            _wait_for_works_of(worker, outside)
            follower = system.start("worker")
            _wait_for_works_of(follower, outside)

            terminate(worker)
            wait_for_end(worker)
            worker = follower

    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}


@contextmanager
def _keeping_busy(orders, outside, agents):
    """Within the block, have runs made that may be started once, some dozens ahead of the last."""
    over = threading.Event()

    def order():
        for made in count():
            orders.run(agents[made % len(agents)], max_attempts=1)
            while made - len(outside.lines("ended")) > 30 and not over.wait(0.01):
                pass
            if over.is_set():
                return

    thread = threading.Thread(target=order)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait_for_works_of(worker, outside):
    """Wait until agents have worked in *worker*, and go on to."""
    wait_until(
        lambda: [line.pid for line in outside.lines("began")].count(worker.pid) > 20,
        "agents to work in a worker",
        timeout=60,
    )
