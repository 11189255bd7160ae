"""What a worker process says of itself, and how it ends when a thread of its own is dead."""

import sys
from pathlib import Path

import pytest
from factories import make_run
from waiting import wait_until

from shared import clock, messages, processes, runs
from shared.messages import Sending
from shared.models import Worker
from shared.states import QUEUED, RUNNING

LOSING_A_THREAD = Path(__file__).parent / "losing_a_thread.py"


@pytest.fixture
def send(system):
    """Makes a run, on its way to the worker."""

    def send(*, seconds):
        run = make_run(config={"delaySeconds": seconds})
        with messages.publisher(system.environ["REDIS_URL"]) as client:
            messages.send(client, messages.RUNS_QUEUE, [Sending(run.id.hex, 0)])
        return run.id

    return send


def live_workers():
    return processes.live_workers(clock.now())


@pytest.mark.parametrize("thread", ["consumer", "worker", "heartbeat", "reports"])
def test_a_worker_with_a_dead_thread_puts_its_runs_back_and_ends_to_be_restarted(
    system, send, thread
):
    # It is to end because of the thread, not because its leases run out.
    system.environ["AGENT_MANAGER_RUN_LEASE"] = "60"
    run_id = send(seconds=60)

    process = system.start("worker", command=f"{sys.executable} {LOSING_A_THREAD} {thread}")

    assert process.wait(30) == 1
    assert "has lost a thread that it needs; ending" in system.logs()
    after = runs.get(run_id)
    assert (after.status, after.attempt, after.uncounted) == (QUEUED, 1, 1)
    assert Worker.get().stopped_at is not None
    assert live_workers() == []


def test_a_worker_that_can_record_nothing_leaves_its_runs_to_the_reaper_and_ends(system, send):
    run_id = send(seconds=0)

    process = system.start("worker", command=f"{sys.executable} {LOSING_A_THREAD} recorder")

    assert process.wait(30) == 1
    assert "has lost a thread that it needs; ending" in system.logs()
    assert runs.get(run_id).status is RUNNING


def test_a_worker_tells_what_of_it_is_alive(system):
    system.start("worker")

    wait_until(lambda: [each for each in Worker.select() if each.threads_alive], "a heartbeat")

    (worker,) = live_workers()
    assert worker.alive == worker.began_with == (4, 1)


def test_a_worker_that_was_killed_is_not_taken_for_alive_for_long(system):
    process = system.start("worker")
    wait_until(live_workers, "the worker to begin")

    system.kill(process)

    # Its lease is two seconds.
    wait_until(lambda: not live_workers(), "it to be missed", timeout=5)


def test_a_worker_that_cannot_reach_redis_says_that_it_fetches_nothing(system):
    system.environ["REDIS_URL"] = "redis://127.0.0.1:1"
    process = system.start("worker")

    wait_until(lambda: any(each.alive.consumers == 0 for each in live_workers()), "it to say so")

    assert process.poll() is None
