"""The scheduler's duties, and how long it sleeps between them."""

import dataclasses
from datetime import timedelta

import pytest
from factories import make_agent, make_run, make_schedule, make_worker, status_of
from peewee import OperationalError

from scheduler import loop
from scheduler.loop import Scheduler
from scheduler.tick import Ticked
from shared import clock, messages, reference, tally
from shared.ids import uuid7
from shared.models import Run, Tally
from shared.models import Scheduler as SchedulerRow
from shared.states import COMPLETED, FAILED, PAUSED, QUEUED
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def scheduler(settings):
    return Scheduler(settings)


@pytest.fixture
def lapse(monkeypatch, settings):
    """Let as much time pass as a lease holds."""

    def lapse():
        moment = clock.monotonic() + settings.run_lease.total_seconds()
        monkeypatch.setattr(clock, "monotonic", lambda: moment)

    return lapse


def test_what_is_due_is_recorded_and_sent_in_one_go(scheduler, settings):
    now = clock.now()
    make_schedule(next_run_at=now)

    scheduler.work(now)

    assert Run.select().where(Run.dispatches > 0).count() == 1
    with messages.publisher(settings.redis_url) as client:
        assert messages.waiting(client, messages.RUNS_QUEUE) == 1


def test_without_the_database_s_clock_nothing_is_done_by_this_host_s(
    scheduler, monkeypatch, caplog
):
    make_schedule(next_run_at=clock.now())

    class Stop:
        looks = 0

        def is_set(self):
            return self.looks == 3

        def wait(self, seconds):
            self.looks += 1

    def away(clock):
        raise OperationalError("gone")

    monkeypatch.setattr(reference, "ahead", away)

    scheduler.run(Stop())

    assert Run.select().count() == 0
    assert caplog.text.count("cannot ask the database for the time") == 1


def test_what_a_tick_cannot_send_itself_is_dispatched_at_once(scheduler):
    make_worker()
    make_agent("narrow", max_concurrency=1)
    scheduler.work(clock.now())
    now = clock.now()
    make_schedule("narrow", next_run_at=now)

    scheduler.work(now)

    assert Run.select().where(Run.dispatches > 0).count() == 1


def test_ticks_that_follow_closely_on_each_other_leave_one_note(scheduler):
    now = clock.now().replace(second=10)
    scheduler.work(now)
    make_schedule(next_run_at=now + timedelta(milliseconds=1))
    scheduler.work(now + timedelta(milliseconds=1))
    make_schedule(next_run_at=now + timedelta(milliseconds=2))

    scheduler.work(now + timedelta(milliseconds=2))

    assert SchedulerRow.get_by_id(scheduler.id).last_tick_at == now


def test_a_run_whose_lease_lapses_is_reaped(scheduler, lapse):
    lost = make_run(leased_by="worker-1")
    scheduler.work(clock.now())

    lapse()
    scheduler.work(clock.now())

    assert status_of(lost.id) is QUEUED


def test_a_tick_is_noted_with_the_scheduler(scheduler):
    now = clock.now()

    scheduler.work(now)

    row = SchedulerRow.get_by_id(scheduler.id)
    assert row.last_tick_at == now
    assert row.last_tick_ms >= 0


def test_it_sleeps_no_longer_than_until_the_next_fire_time(scheduler):
    now = clock.now()
    make_schedule(next_run_at=now + timedelta(milliseconds=200))

    assert 0 < scheduler.work(now) <= 0.2


def test_a_fire_time_that_is_only_just_to_come_is_not_slept_over(scheduler):
    now = clock.now()
    make_schedule(next_run_at=now + timedelta(milliseconds=5))

    assert scheduler.work(now) <= 0.005


def test_what_a_tick_cannot_settle_is_not_looked_at_again_at_once(scheduler, monkeypatch):
    now = clock.now()
    make_schedule(next_run_at=now)
    monkeypatch.setattr(loop, "tick", lambda *_, **__: (0, None))

    assert scheduler.work(now) >= 0.02


def test_it_sleeps_no_longer_than_until_the_next_dispatch(scheduler, settings):
    assert scheduler.work(clock.now()) <= settings.dispatch_interval.total_seconds()


def test_what_ended_long_ago_is_pruned(settings):
    scheduler = Scheduler(dataclasses.replace(settings, retention_days=30))
    long_ago = clock.now() - timedelta(days=31)
    make_run(id=uuid7(long_ago), status=COMPLETED, finished_at=long_ago)

    scheduler.work(clock.now())

    assert Run.select().count() == 0


def test_while_there_is_more_to_prune_it_soon_prunes_again(scheduler, monkeypatch):
    goes = iter([True, True, False])
    monkeypatch.setattr(scheduler._pruner, "prune", lambda _: next(goes))
    monkeypatch.setattr(loop, "_PRUNE_MORE_SECONDS", 0.0)

    for _ in range(5):
        scheduler.work(clock.now())

    assert next(goes, None) is None


def test_a_duty_that_fails_keeps_no_other_from_being_done(scheduler, lapse, monkeypatch, caplog):
    lost = make_run(leased_by="worker-1")

    def unreachable(*_, **__):
        raise OperationalError("gone")

    monkeypatch.setattr(loop, "tick", unreachable)
    scheduler.work(clock.now())
    lapse()
    scheduler.work(clock.now())

    assert status_of(lost.id) is QUEUED
    complaints = [record for record in caplog.records if "cannot tick" in record.message]
    assert len(complaints) == 1


def test_what_failed_is_said_to_work_again(scheduler, monkeypatch, caplog):
    caplog.set_level("INFO")
    tick = loop.tick

    def unreachable(*_, **__):
        raise OperationalError("gone")

    monkeypatch.setattr(loop, "tick", unreachable)
    scheduler.work(clock.now())
    monkeypatch.setattr(loop, "tick", tick)
    scheduler.work(clock.now())

    assert "can tick again" in caplog.text


def test_without_redis_runs_are_recorded_all_the_same(settings):
    nowhere = dataclasses.replace(settings, redis_url="redis://127.0.0.1:1/0")
    now = clock.now()
    make_schedule(next_run_at=now)

    Scheduler(nowhere).work(now)

    assert Run.select().count() == 1
    assert Run.get().dispatches == 0


@pytest.fixture
def nothing_counted(monkeypatch):
    monkeypatch.setattr(tally, "_book", tally._Book())


@pytest.mark.usefixtures("nothing_counted")
def test_what_it_counts_is_written_down(scheduler, monkeypatch):
    def unreachable(*_, **__):
        raise OperationalError("gone")

    monkeypatch.setattr(loop, "tick", unreachable)

    scheduler.work(clock.now())

    assert Tally.get_by_id(scheduler.id).counts == {Count.DATABASE_RETRIES: 1}


@pytest.mark.usefixtures("nothing_counted")
def test_a_clock_that_is_set_is_noticed(scheduler, monkeypatch, caplog):
    now = clock.now()
    scheduler.work(now)

    monkeypatch.setattr(clock, "now", lambda: now + timedelta(hours=2))
    scheduler.work(now)

    assert "the clock was set forward by" in caplog.text


def test_of_ticks_between_two_notes_the_slowest_and_the_latest_are_noted(scheduler, monkeypatch):
    now, moment = clock.now().replace(second=0), clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: moment)
    scheduler.work(now)
    for lag_seconds in (3, 7, 5):
        ticked = Ticked(settled=1, lag=timedelta(seconds=lag_seconds))
        monkeypatch.setattr(loop, "tick", lambda *_, ticked=ticked, **__: ticked)
        scheduler.work(now)
    unnoted = SchedulerRow.get_by_id(scheduler.id).last_tick_lag_ms

    scheduler.work(now + clock.MINUTE)

    assert unnoted < 7000
    assert SchedulerRow.get_by_id(scheduler.id).last_tick_lag_ms == 7000


def test_what_nobody_has_answered_in_time_is_ended(scheduler, caplog):
    caplog.set_level("INFO")
    now = clock.now()
    late = make_run(status=PAUSED, asks=[], answer_by=now)
    waiting = make_run(status=PAUSED, asks=[], answer_by=now + timedelta(hours=1))

    scheduler.work(now)

    assert (status_of(late.id), status_of(waiting.id)) == (FAILED, PAUSED)
    assert f"run {late.id} failed: nobody answered in time" in caplog.text
