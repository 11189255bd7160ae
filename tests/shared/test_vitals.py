"""The numbers that tell how the system is doing, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, MINUTE, NOON, make_run, make_schedule, make_worker

from shared import db, vitals
from shared.models import Scheduler, Tally
from shared.processes import Alive, LiveWorker
from shared.states import COMPLETED
from shared.tally import Count

SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("database")


def test_an_empty_system_has_no_pulse_and_no_load() -> None:
    assert vitals.pulse(NOON) == vitals.Pulse(
        now=NOON,
        last_tick_at=None,
        tick_duration=None,
        tick_lag=None,
        next_run_at=None,
        waiting_since=None,
        lease_until=None,
        workers=[],
        counts=dict.fromkeys(Count, 0),
    )
    assert vitals.load() == vitals.Load(
        schedules_enabled=0, schedules_set_aside=0, queued=0, running=0
    )


def test_the_ticks_are_as_slow_and_as_late_as_the_worst_scheduler_s_last() -> None:
    add_scheduler("never")
    ticked("newest", at=NOON, took_ms=7, lag_ms=900)
    ticked("older", at=NOON - MINUTE, took_ms=90, lag_ms=8)

    pulse = vitals.pulse(NOON)

    assert pulse.last_tick_at == NOON
    assert pulse.tick_duration == timedelta(milliseconds=90)
    assert pulse.tick_lag == timedelta(milliseconds=900)


def test_a_scheduler_that_no_longer_ticks_makes_ticks_neither_slow_nor_late() -> None:
    ticked("gone", at=NOON - 3 * MINUTE, took_ms=9000, lag_ms=9000)

    pulse = vitals.pulse(NOON)

    assert pulse.last_tick_at == NOON - 3 * MINUTE
    assert (pulse.tick_duration, pulse.tick_lag) == (None, None)


def test_a_scheduler_of_the_release_before_does_not_say_how_late_it_is() -> None:
    ticked("old", at=NOON, took_ms=7, lag_ms=None)

    assert vitals.pulse(NOON).tick_lag is None


def test_only_enabled_schedules_can_be_overdue() -> None:
    make_schedule(enabled=False, next_run_at=NOON - MINUTE)
    make_schedule(next_run_at=NOON)
    make_schedule(next_run_at=NOON + MINUTE)

    assert vitals.pulse(NOON).next_run_at == NOON
    assert vitals.load().schedules_enabled == 2


def test_schedules_that_a_tick_set_aside_are_counted() -> None:
    make_schedule(next_run_at=None, error="No such zone.")
    make_schedule(next_run_at=None)
    make_schedule(next_run_at=NOON)

    load = vitals.load()

    assert (load.schedules_enabled, load.schedules_set_aside) == (3, 1)


def test_a_run_waits_from_when_its_time_has_come_whatever_its_line() -> None:
    make_run("b", available_at=NOON + MINUTE)
    make_run("b", priority=9, available_at=NOON - SECOND)
    make_run("a", priority=1, available_at=NOON - 2 * SECOND)
    make_run("a", priority=2, available_at=NOON - MINUTE)
    make_run("c", available_at=NOON)
    make_run(status=COMPLETED, available_at=NOON - 5 * MINUTE, finished_at=NOON)

    pulse = vitals.pulse(NOON)

    assert pulse.waiting_since == NOON - MINUTE
    assert pulse.age(pulse.waiting_since) == MINUTE
    assert vitals.load().queued == 5


def test_a_run_whose_time_is_to_come_does_not_wait() -> None:
    make_run(available_at=NOON + MINUTE)

    pulse = vitals.pulse(NOON)

    assert pulse.age(pulse.waiting_since) == timedelta()
    assert vitals.load().queued == 1


def test_the_lease_that_ran_out_first_is_seen() -> None:
    make_run(leased_by="w", lease_until=NOON + MINUTE)
    make_run(leased_by="w", lease_until=NOON - MINUTE)

    assert vitals.pulse(NOON).lease_until == NOON - MINUTE
    assert vitals.load().running == 2


def test_nothing_is_counted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "SCHEDULES_COUNTED", 2)
    monkeypatch.setattr(vitals, "RUNS_COUNTED", 1)
    for _ in range(3):
        make_schedule(next_run_at=None, error="No such zone.")
        make_run()
        make_run(leased_by="w")

    assert vitals.load() == vitals.Load(
        schedules_enabled=2, schedules_set_aside=2, queued=1, running=1
    )


def test_the_pulse_knows_the_workers_and_what_was_counted() -> None:
    make_worker("w", threads=8, alive_until=NOON + LEASE, threads_alive=3, consumers_alive=0)
    Tally.create(process_id="w", counts={"resends": 3}, latest={}, updated_at=NOON)

    pulse = vitals.pulse(NOON)

    assert pulse.workers == [LiveWorker("w", Alive(8, 1), Alive(3, 0))]
    assert pulse.counts[Count.RESENDS] == 3


# PostgreSQL plans by how much there is; SQLite can tell its steps.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_pulse_costs_no_more_the_more_there_is() -> None:
    def make_some(number: int) -> None:
        for _ in range(number):
            make_run("a", priority=1)
            make_run("a", priority=2)
            make_run("b", leased_by="w")
            make_run("b", status=COMPLETED, finished_at=NOON)
            make_schedule()

    make_some(2)
    vitals.pulse(NOON)  # What is done the first time only is done now.
    of_few = steps_of_a_pulse()
    make_some(50)

    assert steps_of_a_pulse() <= of_few * 1.1


def steps_of_a_pulse() -> int:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    db.proxy.connection().set_progress_handler(step, 1)
    vitals.pulse(NOON)
    db.proxy.connection().set_progress_handler(None, 0)
    return steps


def add_scheduler(id: str, **values: Any) -> None:
    Scheduler.create(id=id, host="h", pid=1, version="1", started_at=NOON, **values)


def ticked(id: str, *, at: Any, took_ms: int, lag_ms: int | None) -> None:
    add_scheduler(id, last_tick_at=at, last_tick_ms=took_ms, last_tick_lag_ms=lag_ms)
