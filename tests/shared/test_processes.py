"""The processes that have been seen."""

from datetime import timedelta

import pytest
from factories import LEASE, NOON, make_worker

from shared import processes
from shared.models import Scheduler, Worker
from shared.processes import Alive

pytestmark = pytest.mark.usefixtures("database")

SECOND = timedelta(seconds=1)
WEEK = timedelta(days=7)


def start_worker(id, now=NOON):
    processes.worker_started(id, threads=8, queues=["runs"], until=now + LEASE, now=now)


def see(id, *, threads=8, consumers=1, now=NOON):
    alive = Alive(threads=threads, consumers=consumers)
    processes.worker_seen(id, alive=alive, until=now + LEASE, now=now)


def live_at(now):
    return [worker.id for worker in processes.live_workers(now)]


def test_no_two_processes_have_one_name():
    assert processes.new_id() != processes.new_id()


def test_a_worker_is_entered_seen_and_stopped():
    start_worker("worker-1")

    see("worker-1", now=NOON + WEEK)
    processes.worker_stopped("worker-1", now=NOON + WEEK)

    worker = Worker.get_by_id("worker-1")
    assert (worker.threads, worker.started_at) == (8, NOON)
    assert (worker.heartbeat_at, worker.stopped_at) == (NOON + WEEK, NOON + WEEK)


def test_a_process_that_does_not_know_whether_it_was_entered_may_try_again():
    for _ in range(2):
        start_worker("worker-1")
        processes.scheduler_started("scheduler-1", now=NOON)

    assert (Worker.select().count(), Scheduler.select().count()) == (1, 1)


def test_a_worker_is_alive_until_it_has_been_silent_for_too_long():
    start_worker("worker-1")
    see("worker-1", now=NOON + SECOND)

    assert live_at(NOON + LEASE) == ["worker-1"]
    assert live_at(NOON + LEASE + SECOND) == []


def test_a_worker_that_has_ended_is_not_alive():
    start_worker("worker-1")

    processes.worker_stopped("worker-1", now=NOON + SECOND)

    assert live_at(NOON + SECOND) == []


def test_a_worker_of_the_release_before_is_alive_for_a_minute_after_its_heartbeat():
    make_worker("old", threads=2, heartbeat_at=NOON, queues=["runs", "more"])

    (worker,) = processes.live_workers(NOON + 59 * SECOND)

    assert worker.began_with == worker.alive == Alive(threads=2, consumers=2)
    assert live_at(NOON + 60 * SECOND) == []


def test_a_worker_says_what_of_it_is_alive():
    start_worker("worker-1")
    see("worker-1", threads=3, consumers=0)

    (worker,) = processes.live_workers(NOON)

    assert worker.began_with == Alive(threads=8, consumers=1)
    assert worker.alive == Alive(threads=3, consumers=0)


def test_threads_that_died_are_not_free():
    start_worker("worker-1")
    see("worker-1", threads=3)
    start_worker("worker-2")

    assert processes.free_threads("runs", NOON) == 3 + 8
    assert processes.free_threads("runs", NOON + LEASE) == 0


def test_workers_not_seen_for_a_week_are_forgotten_when_one_starts():
    start_worker("long-gone")
    start_worker("lately", NOON + timedelta(days=2))

    start_worker("worker-1", NOON + WEEK + timedelta(seconds=1))

    assert {worker.id for worker in Worker.select()} == {"lately", "worker-1"}


def test_schedulers_that_have_not_ticked_for_a_week_are_forgotten_when_one_starts():
    for id in ("long-gone", "still-ticking"):
        processes.scheduler_started(id, now=NOON)
    processes.scheduler_ticked("still-ticking", took=SECOND, lag=SECOND, now=NOON + WEEK)

    processes.scheduler_started("scheduler-1", now=NOON + WEEK + timedelta(seconds=1))

    assert {each.id for each in Scheduler.select()} == {"still-ticking", "scheduler-1"}


def test_a_scheduler_s_end_is_noted():
    processes.scheduler_started("scheduler-1", now=NOON)

    processes.scheduler_stopped("scheduler-1", now=NOON + WEEK)

    assert Scheduler.get_by_id("scheduler-1").stopped_at == NOON + WEEK
