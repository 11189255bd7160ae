"""One look at the clock."""

from datetime import timedelta

import pytest
from factories import MINUTE, NOON, make_run, make_schedule, status_of

from scheduler.reaper import reap
from scheduler.tick import tick
from shared import cron
from shared.models import Run
from shared.states import QUEUED

pytestmark = pytest.mark.usefixtures("database")


def look(now=NOON, batch=1000, after_batch=lambda: None):
    return tick(now, batch=batch, after_batch=after_batch)


def test_a_tick_records_all_that_is_due_in_batches_and_calls_back_after_each():
    for _ in range(5):
        make_schedule()
    recorded = []

    assert look(batch=2, after_batch=lambda: recorded.append(Run.select().count())) == 5

    assert recorded == [2, 4, 5]


def test_a_tick_with_nothing_due_calls_nobody():
    called = []

    assert look(after_batch=lambda: called.append(1)) == 0
    assert called == []


def test_equal_expressions_in_equal_zones_are_computed_once(monkeypatch):
    for _ in range(3):
        make_schedule()
    make_schedule(timezone="Europe/Berlin")
    computed = []
    fire_times = cron.fire_times

    def counting(*arguments):
        computed.append(arguments)
        return fire_times(*arguments)

    monkeypatch.setattr(cron, "fire_times", counting)
    look(batch=2)

    assert len(computed) == 2


def test_ticks_at_the_same_minute_record_it_once():
    make_schedule()

    assert (look(), look()) == (1, 0)
    assert Run.select().count() == 1


def test_a_tick_sees_a_gap_to_its_end():
    make_schedule()

    assert look(NOON + 3 * MINUTE) == 1
    assert look(NOON + 3 * MINUTE) == 0


def test_reaping_takes_every_lease_that_ran_out():
    lost = [make_run(leased_by=f"worker-{number}") for number in range(3)]
    kept = make_run(leased_by="worker-4", lease_until=NOON + timedelta(hours=1))

    assert reap(NOON + timedelta(minutes=1)) == 3

    assert {status_of(run.id) for run in lost} == {QUEUED}
    assert status_of(kept.id) is not QUEUED
