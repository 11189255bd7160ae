"""The processes that have been seen."""

from datetime import timedelta

import pytest
from factories import NOON

from shared import processes
from shared.models import Scheduler, Worker

pytestmark = pytest.mark.usefixtures("database")

WEEK = timedelta(days=7)


def start_worker(id, now=NOON):
    processes.worker_started(id, threads=8, queues=["runs"], now=now)


def test_no_two_processes_have_one_name():
    assert processes.new_id() != processes.new_id()


def test_a_worker_is_entered_seen_and_stopped():
    start_worker("worker-1")

    processes.worker_seen("worker-1", now=NOON + WEEK)
    processes.worker_stopped("worker-1", now=NOON + WEEK)

    worker = Worker.get_by_id("worker-1")
    assert (worker.threads, worker.started_at) == (8, NOON)
    assert (worker.heartbeat_at, worker.stopped_at) == (NOON + WEEK, NOON + WEEK)


def test_workers_not_seen_for_a_week_are_forgotten_when_one_starts():
    start_worker("long-gone")
    start_worker("lately", NOON + timedelta(days=2))

    start_worker("worker-1", NOON + WEEK + timedelta(seconds=1))

    assert {worker.id for worker in Worker.select()} == {"lately", "worker-1"}


def test_schedulers_that_have_not_ticked_for_a_week_are_forgotten_when_one_starts():
    for id in ("long-gone", "still-ticking"):
        processes.scheduler_started(id, now=NOON)
    processes.scheduler_ticked("still-ticking", took_ms=3, now=NOON + WEEK)

    processes.scheduler_started("scheduler-1", now=NOON + WEEK + timedelta(seconds=1))

    assert {each.id for each in Scheduler.select()} == {"still-ticking", "scheduler-1"}


def test_a_scheduler_s_end_is_noted():
    processes.scheduler_started("scheduler-1", now=NOON)

    processes.scheduler_stopped("scheduler-1", now=NOON + WEEK)

    assert Scheduler.get_by_id("scheduler-1").stopped_at == NOON + WEEK
