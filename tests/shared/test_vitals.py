"""The numbers that tell how the system is doing, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from factories import MINUTE, NOON, make_run, make_schedule

from shared import vitals
from shared.models import Scheduler, Worker
from shared.states import COMPLETED

SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("database")


def test_an_empty_system_has_no_pulse_and_no_load() -> None:
    pulse, load = vitals.pulse(), vitals.load(NOON)

    assert pulse == vitals.Pulse(last_tick_at=None, last_tick_ms=None, next_run_at=None)
    assert (load.queued, load.running, load.workers, load.threads) == (0, 0, 0, 0)
    assert (load.waiting_since, load.lease_until) == (None, None)


def test_the_pulse_is_that_of_the_scheduler_that_ticked_last() -> None:
    add_scheduler("never", last_tick_at=None, last_tick_ms=None)
    add_scheduler("newest", last_tick_at=NOON, last_tick_ms=7)
    add_scheduler("older", last_tick_at=NOON - MINUTE, last_tick_ms=9)

    pulse = vitals.pulse()

    assert (pulse.last_tick_at, pulse.last_tick_ms) == (NOON, 7)


def test_only_enabled_schedules_can_be_overdue() -> None:
    make_schedule(enabled=False, next_run_at=NOON - MINUTE)
    make_schedule(next_run_at=NOON)
    make_schedule(next_run_at=NOON + MINUTE)

    assert vitals.pulse().next_run_at == NOON
    assert vitals.load(NOON).schedules_enabled == 2


def test_schedules_that_a_tick_set_aside_are_counted() -> None:
    make_schedule(next_run_at=None, error="No such zone.")
    make_schedule(next_run_at=None)
    make_schedule(next_run_at=NOON)

    load = vitals.load(NOON)

    assert (load.schedules_enabled, load.schedules_set_aside) == (3, 1)


def test_a_run_waits_from_when_its_time_has_come() -> None:
    make_run(available_at=NOON + MINUTE)
    make_run(available_at=NOON - SECOND)
    make_run(available_at=NOON - MINUTE)
    make_run(status=COMPLETED, available_at=NOON - 5 * MINUTE, finished_at=NOON)

    load = vitals.load(NOON)

    assert (load.queued, load.waiting_since) == (3, NOON - MINUTE)


def test_a_run_whose_time_is_to_come_does_not_wait() -> None:
    make_run(available_at=NOON + MINUTE)

    load = vitals.load(NOON)

    assert (load.queued, load.waiting_since) == (1, None)


def test_the_lease_that_ran_out_first_is_seen() -> None:
    make_run(leased_by="w", lease_until=NOON + MINUTE)
    make_run(leased_by="w", lease_until=NOON - MINUTE)

    load = vitals.load(NOON)

    assert (load.running, load.lease_until) == (2, NOON - MINUTE)


def test_workers_count_while_their_hearts_beat() -> None:
    add_worker("live", threads=8, heartbeat_at=NOON - 59 * SECOND)
    add_worker("also live", threads=2, heartbeat_at=NOON)
    add_worker("silent", threads=16, heartbeat_at=NOON - 61 * SECOND)
    add_worker("stopped", threads=32, heartbeat_at=NOON, stopped_at=NOON)

    load = vitals.load(NOON)

    assert (load.workers, load.threads) == (2, 10)


def add_scheduler(id: str, **values: Any) -> None:
    Scheduler.create(id=id, host="h", pid=1, version="1", started_at=NOON, **values)


def add_worker(id: str, **values: Any) -> None:
    Worker.create(id=id, host="h", pid=1, queues=[], version="1", started_at=NOON, **values)
