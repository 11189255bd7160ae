"""What ended long ago is pruned, a little at a time, and nothing else ever is."""

import itertools
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from factories import LEASE, MINUTE, NOON, make_batch, make_run, make_schedule
from waiting import wait_until

from shared import db, new_runs, retention
from shared.batches.models import Batch, BatchItem, BatchProgress
from shared.idempotency import IdempotencyKey
from shared.ids import uuid7
from shared.models import Run, RunEvent
from shared.states import (
    ACTIVE,
    COMPLETED,
    ENDED,
    MISSED,
    PAUSED,
    QUEUED,
    RUNNING,
    BatchReason,
    BatchStatus,
)

pytestmark = pytest.mark.usefixtures("database")

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
# What a status wants of the other columns.
WANTED = {
    MISSED: {"missed_count": 1},
    RUNNING: {"leased_by": "worker-1", "lease_until": NOON + LEASE, "attempt": 1},
}


def make_old(status=COMPLETED, *, at=NOON - 2 * WEEK, **values):
    """A run that was made, and if it has, ended, two weeks ago."""
    ended = {"finished_at": at} if status in ENDED else {}
    made = {"id": uuid7(at), "status": status, "queued_at": at, **ended, **WANTED.get(status, {})}
    return make_run(**made | values)


def make_history(schedule, *, days):
    """A completed run of *schedule* on each of the *days* days before this one, oldest first."""
    instants = [NOON - number * DAY for number in range(days, 0, -1)]
    return [make_old(schedule=schedule, scheduled_for=at, at=at - MINUTE).id for at in instants]


def prune(*, days=7):
    return sum(retention.prune(days=days, now=NOON))


def left():
    return [run.id for run in Run.select(Run.id).order_by(Run.id)]


@pytest.mark.parametrize("status", sorted(ENDED))
def test_what_ended_longer_ago_than_it_is_kept_goes(status):
    make_old(status)
    young = make_old(status, at=NOON - WEEK)

    assert prune() == 1

    assert left() == [young.id]


def test_the_events_of_a_run_go_with_it():
    old, young = make_old(), make_old(at=NOON)
    for run in (old, young):
        RunEvent.create(run=run, seq=1, at=NOON, attempt=1, type="log", data={})

    prune()

    assert [event.run_id for event in RunEvent.select()] == [young.id]


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_what_has_not_ended_stays_however_old_it_is(status):
    schedule = make_schedule(keep_last=1)
    waiting = [make_old(status, schedule=schedule) for _ in range(2)]
    ended = make_old(schedule=schedule, at=NOON - WEEK)

    assert prune() == 0

    assert left() == [*(run.id for run in waiting), ended.id]


def test_what_was_made_long_ago_and_ended_just_now_stays():
    long_run = make_old(finished_at=NOON - MINUTE)

    assert prune() == 0

    assert left() == [long_run.id]


def test_for_a_hundred_years_is_for_ever_as_well():
    ancient = make_old(at=NOON - 5000 * DAY)

    assert prune(days=36_500) == 0

    assert left() == [ancient.id]


def test_for_zero_days_means_for_ever():
    ancient = make_old(at=NOON - 5000 * DAY)

    assert prune(days=0) == 0

    assert left() == [ancient.id]


def test_old_runs_that_have_not_ended_hide_none_behind_them(monkeypatch):
    monkeypatch.setattr(retention, "_READ_AT_ONCE", 2)
    schedule = make_schedule(keep_last=1)
    waiting = [make_old(PAUSED, schedule=schedule).id for _ in range(5)]
    by_age = make_old(at=NOON - 2 * WEEK + MINUTE)
    by_number = make_old(schedule=schedule, at=NOON - 3 * DAY)
    newest = make_old(schedule=schedule, at=NOON - 2 * DAY)

    assert prune() == 2

    assert {by_age.id, by_number.id}.isdisjoint(left())
    assert left() == [*waiting, newest.id]


def test_of_a_schedule_the_last_few_that_ended_are_kept():
    schedule = make_schedule(keep_last=3)
    history = make_history(schedule, days=9)
    waiting = make_old(QUEUED, schedule=schedule, at=NOON - MINUTE)

    assert prune(days=0) == 6

    assert left() == [*history[-3:], waiting.id]


def test_the_number_of_one_schedule_is_not_that_of_another():
    few, all_of_them = make_schedule(keep_last=1), make_schedule()
    history = make_history(few, days=3) + make_history(all_of_them, days=3)

    prune(days=0)

    assert set(left()) == set(history[2:])


def test_a_deleted_schedule_keeps_no_more_than_it_did():
    schedule = make_schedule(keep_last=2, enabled=False, deleted_at=NOON)
    history = make_history(schedule, days=3)

    prune(days=0)

    assert left() == history[-2:]


def test_what_is_over_in_number_goes_by_age_too():
    schedule = make_schedule(keep_last=20)
    history = make_history(schedule, days=10)

    prune(days=7)

    assert left() == history[-6:]


def test_a_fire_time_of_the_last_day_stays_on_record_whatever_the_number():
    schedule = make_schedule(keep_last=1)
    of_today = [make_old(schedule=schedule, at=NOON - n * MINUTE).id for n in range(1440, -1, -480)]

    assert prune(days=0) == 0

    assert left() == of_today


def test_a_key_makes_the_same_run_for_a_day_and_another_once_that_is_pruned():
    schedule = make_schedule(keep_last=1)
    key = IdempotencyKey.of("once", b"POST")

    def trigger(at):
        return new_runs.trigger(schedule.id, message=None, metadata={}, key=key, now=at).id

    first = trigger(NOON - DAY)
    Run.update(status=COMPLETED, finished_at=NOON - DAY).execute()
    make_old(schedule=schedule, at=NOON)

    prune(days=0)
    repeated = trigger(NOON)
    sum(retention.prune(days=0, now=NOON + MINUTE))
    anew = trigger(NOON + MINUTE)

    assert repeated == first
    assert anew != first


def test_a_step_deletes_only_a_few(monkeypatch):
    monkeypatch.setattr(retention, "_DELETED_AT_ONCE", 4)
    for _ in range(10):
        make_old()
    steps = retention.prune(days=7, now=NOON)

    assert next(steps) == 4
    assert len(left()) == 6

    assert [number for number in steps if number] == [4, 2]


def test_what_one_pass_leaves_the_next_finds(monkeypatch):
    monkeypatch.setattr(retention, "_DELETED_AT_ONCE", 1)
    for _ in range(3):
        make_old()

    next(retention.prune(days=7, now=NOON))

    assert prune() == 2


def test_every_schedule_has_its_turn(monkeypatch):
    monkeypatch.setattr(retention, "_READ_AT_ONCE", 2)
    schedules = [make_schedule(keep_last=number % 2 or None) for number in range(7)]
    histories = {schedule: make_history(schedule, days=2) for schedule in schedules}

    assert prune(days=0) == 3

    kept = set(left())
    for schedule, history in histories.items():
        assert kept & set(history) == set(history[-1:] if schedule.keep_last else history)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_two_that_prune_at_once_pass_each_other_by():
    mine, other = make_old(), make_old()
    held, done = threading.Event(), threading.Event()

    def hold():
        with db.transaction():
            db.execute("SELECT id FROM run WHERE id = :id FOR UPDATE", {"id": mine.id.hex})
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    wait_until(held.is_set, "the row to be locked")
    try:
        pruned = prune()
    finally:
        done.set()
        holder.join()

    assert pruned == 1
    assert other.id not in left()
    assert prune() == 1


def make_old_batch(finished_at, *, items=3, **values):
    """A batch that was made two weeks ago; its items have been runs, which soon ended."""
    status = BatchStatus.COMPLETED if finished_at else BatchStatus.RUNNING
    batch = make_batch(
        items=items,
        **{"status": status, "finished_at": finished_at, "created_at": NOON - 2 * WEEK} | values,
    )
    BatchProgress.update(taken=items, completed=items).where(BatchProgress.batch == batch).execute()
    for index in range(items):
        make_old(batch=batch, item_index=index, queue="local")
    return batch


def items_left():
    return [(item.batch_id, item.item_index) for item in BatchItem.select()]


def test_of_a_batch_that_ended_long_ago_only_the_sum_stays():
    batch = make_old_batch(NOON - WEEK - MINUTE)
    before = BatchProgress.get_by_id(batch.id)

    assert prune() == 3

    assert (left(), items_left()) == ([], [])
    assert Batch.get_by_id(batch.id).status is BatchStatus.COMPLETED
    after = BatchProgress.get_by_id(batch.id)
    assert after.__data__ == before.__data__
    assert (after.total, after.completed) == (3, 3)


@pytest.mark.parametrize(
    ("finished_at", "values"),
    [
        (None, {}),
        (None, {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST}),
        (None, {"accepted_at": None, "status": BatchStatus.QUEUED}),
        (NOON - WEEK, {}),
        (NOON, {}),
    ],
)
def test_of_a_batch_that_goes_on_or_ended_lately_all_stays_however_old_it_is(finished_at, values):
    batch = make_old_batch(finished_at, **values)
    make_old_batch(NOON - WEEK - MINUTE)
    of_no_batch = make_old()

    assert prune() == 3 + 1

    assert items_left() == [(batch.id, index) for index in range(3)]
    assert Run.select().where(Run.batch == batch).count() == len(left()) == 3
    assert of_no_batch.id not in left()


def test_a_batch_that_goes_on_hides_none_behind_it(monkeypatch):
    monkeypatch.setattr(retention, "_READ_AT_ONCE", 2)
    batch = make_old_batch(None, items=5)
    make_old(at=NOON - 2 * WEEK + MINUTE)

    assert prune() == 1

    assert Run.select().where(Run.batch == batch).count() == len(left()) == 5


def test_the_items_of_a_batch_that_were_never_runs_go_as_well():
    batch = make_batch(items=3, status=BatchStatus.CANCELLED, finished_at=NOON - 2 * WEEK)

    assert prune(days=0) == 0
    assert len(items_left()) == 3
    assert prune() == 0

    assert items_left() == []
    assert Batch.select().where(Batch.id == batch).exists()


def test_a_step_deletes_only_a_few_items(monkeypatch):
    monkeypatch.setattr(retention, "_DELETED_AT_ONCE", 4)
    for _ in range(2):
        make_batch(items=10, status=BatchStatus.CANCELLED, finished_at=NOON - 2 * WEEK)
    counts = []

    for _ in retention.prune(days=7, now=NOON):
        counts.append(len(items_left()))

    assert sorted(set(counts), reverse=True) == [16, 12, 10, 6, 2, 0]


@pytest.mark.parametrize("walk", [retention._too_old, retention._too_many])
def test_a_step_reads_no_more_of_a_long_history_than_of_a_short_one(walk, monkeypatch):
    schedule = make_schedule(keep_last=10)
    costs = []
    for number in (16_000, 32_000):
        make_many(number, schedule)
        costs.append(cost_of_a_step(walk, monkeypatch))

    assert Run.select().count() == 48_000
    assert costs[1] <= 1.1 * costs[0]


def make_many(number, schedule):
    """So many more old runs of *schedule*; and the planner is told."""
    model = make_old(schedule=schedule)
    others = ", ".join(name for name in Run._meta.columns if name != "id")
    new_id = "printf('%032x', :first + n)"
    if not db.is_sqlite():
        new_id = "CAST(lpad(to_hex(:first + n), 32, '0') AS uuid)"
    db.execute(
        f"""
        WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < :number)
        INSERT INTO run (id, {others}) SELECT {new_id}, {others} FROM run, many WHERE id = :model
        """,
        {"number": number, "first": Run.select().count(), "model": model.id.hex},
    )
    Run.delete_by_id(model.id)
    db.execute("ANALYZE")


def cost_of_a_step(walk, monkeypatch):
    """What the statements of a first step make the database do, which are then undone."""
    costs = []
    measure = instructions_of if db.is_sqlite() else rows_read_by
    execute = db.execute
    with monkeypatch.context() as patched, db.proxy.atomic() as transaction:
        patched.setattr(db, "execute", lambda *asked: measure(costs, execute, *asked))
        assert next(walk(NOON - WEEK)) == retention._DELETED_AT_ONCE
        transaction.rollback()
    assert all(costs)
    return sum(costs)


def instructions_of(costs, execute, sql, values):
    """Execute a statement on SQLite, counting the instructions of its virtual machine."""
    counted = itertools.count()
    connection = db.proxy.connection()
    connection.set_progress_handler(lambda: next(counted) < 0, 1)
    try:
        cursor = execute(sql, values)
        rows = cursor.fetchall()
    finally:
        connection.set_progress_handler(None, 0)
    costs.append(next(counted))
    return SimpleNamespace(fetchall=lambda: rows, rowcount=cursor.rowcount)


def rows_read_by(costs, execute, sql, values):
    """Execute a statement on PostgreSQL, counting the rows that it reads of tables."""
    with db.proxy.atomic() as rehearsal:
        ((plan,),) = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values).fetchall()
        rehearsal.rollback()
    costs.append(sum(rows_of(plan[0]["Plan"])))
    return execute(sql, values)


def rows_of(node):
    if "Relation Name" in node:
        seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield seen * node["Actual Loops"]
    for part in node.get("Plans", ()):
        yield from rows_of(part)
