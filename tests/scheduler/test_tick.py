"""One look at the clock."""

from datetime import timedelta

import pytest
import redis
from factories import MINUTE, NOON, make_agent, make_schedule, make_worker

from scheduler.tick import tick
from shared import cron, messages, new_runs
from shared.dispatch import Dispatcher
from shared.models import Run
from shared.states import QUEUED

RESEND_AFTER = timedelta(seconds=30)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def make_dispatcher(database, client):
    make_worker()

    def make(window=100):
        dispatcher = Dispatcher(client, window=window, resend_after=RESEND_AFTER)
        dispatcher.dispatch(NOON)
        return dispatcher

    return make


@pytest.fixture
def look(make_dispatcher):
    def look(now=NOON, batch=1000, dispatcher=None):
        return tick(now, dispatcher or make_dispatcher(), batch=batch).settled

    return look


def test_a_tick_records_and_sends_all_that_is_due_in_batches(look, client):
    for _ in range(5):
        make_schedule()

    assert look(batch=2) == 5

    assert messages.waiting(client, messages.RUNS_QUEUE) == 5
    assert {(run.dispatches, run.dispatch_at) for run in Run.select()} == {(1, NOON + RESEND_AFTER)}


def test_the_most_urgent_are_sent_first(look, client):
    make_schedule(priority=1)
    urgent = make_schedule(priority=9)

    look()

    first = client.lindex("agent-manager:runs", 0).decode().partition(".")[0]
    assert Run.get_by_id(first).schedule_id == urgent.id


def test_what_the_window_has_no_room_for_is_left_to_dispatch(look, make_dispatcher, client):
    for _ in range(3):
        make_schedule()

    look(dispatcher=make_dispatcher(window=2))

    assert messages.waiting(client, messages.RUNS_QUEUE) == 2
    assert Run.select().where(Run.dispatches == 0).count() == 1


def test_a_limited_agent_s_runs_are_left_to_dispatch(look, client):
    make_agent("narrow", max_concurrency=1)
    make_schedule("narrow")

    look()

    assert messages.waiting(client, messages.RUNS_QUEUE) == 0
    assert Run.get().dispatches == 0


def test_a_run_with_jitter_is_left_to_dispatch(look, client):
    make_schedule(jitter_seconds=30)

    look()

    assert messages.waiting(client, messages.RUNS_QUEUE) == 0


def test_what_is_skipped_is_not_sent(look, client):
    make_agent("off", enabled=False)
    make_schedule("off")

    look()

    assert messages.waiting(client, messages.RUNS_QUEUE) == 0


def test_what_could_not_be_sent_is_recorded_and_left_to_dispatch(
    look, make_dispatcher, monkeypatch, caplog
):
    dispatcher = make_dispatcher()
    make_schedule()

    def fail(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(messages, "send", fail)
    assert look(dispatcher=dispatcher) == 1

    run = Run.get()
    assert (run.status, run.dispatches, run.dispatch_at) == (QUEUED, 0, NOON)
    assert "left to be dispatched" in caplog.text


def test_nothing_is_sent_that_is_not_committed(look, client, monkeypatch):
    make_schedule()

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(new_runs, "for_fire_times", fail)
    with pytest.raises(ZeroDivisionError):
        look()

    assert messages.waiting(client, messages.RUNS_QUEUE) == 0


def test_a_tick_with_nothing_due_does_nothing(look):
    assert look() == 0


def test_equal_expressions_in_equal_zones_are_computed_once(look, monkeypatch):
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


def test_ticks_at_the_same_minute_record_it_once(look):
    make_schedule()

    assert (look(), look()) == (1, 0)
    assert Run.select().count() == 1


def test_a_tick_sees_a_gap_to_its_end(look):
    make_schedule()

    assert look(NOON + 3 * MINUTE) == 1
    assert look(NOON + 3 * MINUTE) == 0


def test_a_tick_is_as_late_as_the_first_fire_time_that_it_recorded(make_dispatcher):
    make_schedule(next_run_at=NOON + MINUTE)
    make_schedule(next_run_at=NOON)

    ticked = tick(NOON + MINUTE, make_dispatcher(), batch=1)

    assert ticked.settled == 2
    assert MINUTE < ticked.lag < MINUTE + timedelta(seconds=10)


def test_a_tick_with_nothing_due_is_not_late(make_dispatcher):
    make_schedule(next_run_at=NOON + MINUTE)

    assert tick(NOON, make_dispatcher(), batch=1) == (0, timedelta())
