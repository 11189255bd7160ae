"""Which queued runs go, in which order, and what becomes of those that could not be sent."""

import re
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta

import dramatiq
import pytest
import redis
from factories import LEASE, MINUTE, NOON, make_agent, make_run, make_worker, status_of
from peewee import OperationalError

from shared import db, dispatch, messages, places, run_lines, runs, tally
from shared.attempts import Lease, Outcome
from shared.dispatch import Dispatcher
from shared.models import Run, Worker
from shared.states import COMPLETED, QUEUED
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("database")

RESEND_AFTER = timedelta(seconds=30)


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def make_dispatcher(client):
    def make(window=100, client=client):
        return Dispatcher(client, window=window, resend_after=RESEND_AFTER)

    return make


@pytest.fixture
def dispatcher(make_dispatcher):
    return make_dispatcher()


@pytest.fixture(autouse=True)
def worker(database):
    """A worker with threads for all."""
    return make_worker()


def make_waiting(agent="echo", **values):
    return make_run(agent, **{"dispatches": 0} | values)


def sent(client):
    """The ids of the runs that wait in Redis, in order."""
    keys = client.lrange("agent-manager:runs", 0, -1)
    bodies = client.hmget("agent-manager:runs.msgs", keys) if keys else []
    return [dramatiq.Message.decode(body).args[0] for body in bodies]


def claim(run_hex):
    run_ids = [Run.get_by_id(run_hex).id]
    return next(iter(runs.claim(run_ids, "worker-1", lease=LEASE, now=NOON + MINUTE)), None)


def test_a_queued_run_is_sent_and_marked_as_sent(dispatcher, client):
    run = make_waiting()

    assert dispatcher.dispatch(NOON) == 1

    assert sent(client) == [run.id.hex]
    after = runs.get(run.id)
    assert (after.dispatches, after.dispatch_at) == (1, NOON + RESEND_AFTER)


def test_a_message_is_an_id_and_no_larger_than_it_must_be(dispatcher, client):
    make_waiting(message="secret " * 1000)

    dispatcher.dispatch(NOON)

    (body,) = client.hvals("agent-manager:runs.msgs")
    assert len(body) < 1024
    assert b"secret" not in body


def test_a_run_is_not_sent_before_its_time(dispatcher, client):
    make_waiting(available_at=NOON + timedelta(microseconds=1))

    assert dispatcher.dispatch(NOON) == 0
    assert sent(client) == []


def test_the_most_urgent_go_first_and_then_the_longest_waiting(dispatcher, client):
    late = make_waiting(priority=5, available_at=NOON)
    early = make_waiting(priority=5, available_at=NOON - MINUTE)
    urgent = make_waiting(priority=9, available_at=NOON)

    dispatcher.dispatch(NOON)

    assert sent(client) == [urgent.id.hex, early.id.hex, late.id.hex]


def test_no_more_wait_in_redis_than_the_window_allows(make_dispatcher, client):
    for _ in range(5):
        make_waiting()
    dispatcher = make_dispatcher(window=3)

    assert dispatcher.dispatch(NOON) == 3
    assert dispatcher.dispatch(NOON) == 0
    client.lpop("agent-manager:runs")
    assert dispatcher.dispatch(NOON) == 1

    assert len(sent(client)) == 3


def test_what_was_sent_and_never_claimed_is_sent_again_later_each_time(dispatcher, client):
    run = make_waiting()
    dispatcher.dispatch(NOON)
    client.flushall()

    assert dispatcher.dispatch(NOON + RESEND_AFTER - timedelta(seconds=1)) == 0
    assert dispatcher.dispatch(NOON + RESEND_AFTER) == 1

    assert sent(client) == [run.id.hex]
    after = runs.get(run.id)
    assert (after.dispatches, after.dispatch_at) == (2, NOON + 3 * RESEND_AFTER)


def test_however_often_it_was_sent_in_vain_it_is_sent_again_within_minutes(dispatcher):
    run = make_waiting(dispatches=1000)

    dispatcher.dispatch(NOON)

    assert runs.get(run.id).dispatch_at <= NOON + 5 * MINUTE


def test_a_message_lost_while_the_clock_was_ahead_is_sent_again_once_it_is_set_back(dispatcher):
    run = make_waiting()
    dispatcher.dispatch(NOON + timedelta(hours=2))

    assert dispatcher.dispatch(NOON) == 1

    assert runs.get(run.id).dispatch_at == NOON + 2 * RESEND_AFTER


def test_what_is_claimed_or_ended_is_not_sent(dispatcher, client):
    make_run(leased_by="worker-1")
    make_run(status=COMPLETED, finished_at=NOON)

    assert dispatcher.dispatch(NOON) == 0


def test_while_redis_is_away_everything_waits_as_before(make_dispatcher):
    run = make_waiting()
    nowhere = messages.publisher("redis://127.0.0.1:1/0")

    with pytest.raises(redis.RedisError):
        make_dispatcher(client=nowhere).dispatch(NOON)

    after = runs.get(run.id)
    assert (after.status, after.dispatches, after.dispatch_at) == (QUEUED, 0, NOON)


def test_what_could_not_be_sent_is_marked_as_unsent(dispatcher, monkeypatch):
    run = make_waiting()

    def fail(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(messages, "send", fail)
    with pytest.raises(redis.RedisError):
        dispatcher.dispatch(NOON)

    after = runs.get(run.id)
    assert (after.dispatches, after.dispatch_at) == (0, NOON)


def test_a_run_is_sent_at_once_and_no_other_with_it(dispatcher, client):
    make_waiting()
    mine = make_waiting()

    dispatcher.at_once(mine.id, NOON)

    assert sent(client) == [mine.id.hex]


def test_a_run_is_not_sent_at_once_while_one_that_came_before_waits_for_its_turn(
    dispatcher, client
):
    make_waiting("other", priority=0, available_at=NOON - timedelta(seconds=1))
    mine = make_waiting(priority=9)

    dispatcher.at_once(mine.id, NOON)

    assert sent(client) == []
    assert runs.get(mine.id).dispatches == 0


def test_a_run_is_sent_at_once_though_others_wait_for_a_place_of_their_agent(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    for _ in range(2):
        make_waiting("narrow", available_at=NOON - timedelta(seconds=1))
    mine = make_waiting()

    dispatcher.at_once(mine.id, NOON)

    assert sent(client) == [mine.id.hex]


def test_a_run_is_not_sent_at_once_past_others_of_its_agent_that_wait_for_a_place(
    dispatcher, client
):
    make_agent("narrow", max_concurrency=1)
    make_waiting("narrow", priority=0)
    mine = make_waiting("narrow", priority=9)

    dispatcher.at_once(mine.id, NOON)

    assert sent(client) == []


def test_a_run_of_an_agent_that_has_a_place_and_no_other_run_is_sent_at_once(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    mine = make_waiting("narrow")

    dispatcher.at_once(mine.id, NOON)

    assert sent(client) == [mine.id.hex]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sending_at_once_waits_only_a_second_for_others_that_write(
    dispatcher, database, monkeypatch
):
    monkeypatch.setattr(dispatch, "_HURRY", timedelta(milliseconds=10))
    mine = make_waiting()

    with closing(sqlite3.connect(database.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            dispatcher.at_once(mine.id, NOON)

    assert db.execute("PRAGMA busy_timeout").fetchone() == (database.timeout * 1000,)


def test_sending_at_once_never_fails_because_of_redis(make_dispatcher, caplog):
    run = make_waiting()
    nowhere = messages.publisher("redis://127.0.0.1:1/0")

    dispatcher = make_dispatcher(client=nowhere)
    for _ in range(3):
        dispatcher.at_once(run.id, NOON)

    assert runs.get(run.id).dispatches == 0
    assert len([each for each in caplog.records if "send runs at once" in each.message]) == 1


def test_an_agent_s_runs_are_sent_only_as_there_are_places_free(dispatcher, client):
    make_agent("narrow", max_concurrency=2)
    waiting = [make_waiting("narrow", priority=priority) for priority in (1, 2, 3)]

    assert dispatcher.dispatch(NOON) == 2
    assert dispatcher.dispatch(NOON) == 0

    assert sent(client) == [waiting[2].id.hex, waiting[1].id.hex]


def test_a_place_is_free_again_when_a_run_ends(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    for _ in range(2):
        make_waiting("narrow")
    dispatcher.dispatch(NOON)
    (first,) = sent(client)
    claimed = claim(first)
    assert dispatcher.dispatch(NOON) == 0

    runs.finish({Lease(claimed.id, 1): Outcome(status=COMPLETED)}, now=NOON)

    assert dispatcher.dispatch(NOON) == 1


def test_while_an_agent_has_no_place_for_what_waits_it_is_looked_at_sooner(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    for _ in range(2):
        make_waiting("narrow")
    dispatcher.dispatch(NOON)
    while_one_waits = dispatcher.next_look(MINUTE)
    (first,) = sent(client)
    claimed = claim(first)
    runs.finish({Lease(claimed.id, 1): Outcome(status=COMPLETED)}, now=NOON)

    dispatcher.dispatch(NOON)

    assert while_one_waits < dispatcher.next_look(MINUTE) == MINUTE


def test_while_another_dispatch_has_an_agent_it_is_looked_at_sooner(dispatcher, monkeypatch):
    make_agent("narrow", max_concurrency=1)
    make_waiting("narrow")
    monkeypatch.setattr(places, "locked", lambda _: set())

    assert dispatcher.dispatch(NOON) == 0

    assert dispatcher.next_look(MINUTE) < MINUTE


def test_what_another_dispatch_was_quicker_to_send_is_no_sign_that_nothing_waits(
    make_dispatcher, monkeypatch
):
    for _ in range(5):
        make_waiting()
    dispatcher = make_dispatcher(window=2)
    monkeypatch.setattr(dispatcher, "_marked", lambda *_: [])

    assert dispatcher.dispatch(NOON) == 0

    assert dispatcher.next_look(MINUTE) < MINUTE


def test_a_limited_agent_s_lost_message_is_sent_again_in_its_own_place(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    make_waiting("narrow", priority=9)
    make_waiting("narrow")
    dispatcher.dispatch(NOON)
    (first,) = sent(client)
    client.flushall()

    assert dispatcher.dispatch(NOON + RESEND_AFTER) == 1

    assert sent(client) == [first]


def test_a_limited_agent_holds_up_nobody_else(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    for _ in range(5):
        make_waiting("narrow", priority=9)
    other = make_waiting("echo", priority=0)

    dispatcher.dispatch(NOON)

    assert other.id.hex in sent(client)


def test_a_stale_message_cannot_get_around_the_limit(dispatcher, client):
    make_agent("narrow", max_concurrency=1)
    make_waiting("narrow")
    dispatcher.dispatch(NOON)
    (run_hex,) = sent(client)
    claimed = claim(run_hex)
    runs.release(Lease(claimed.id, 1), now=NOON)

    assert claim(run_hex) is None
    assert status_of(claimed.id) is QUEUED


def test_while_every_thread_is_taken_next_to_nothing_waits_in_redis(dispatcher, client):
    Worker.update(threads=1).execute()
    make_run(leased_by="worker-1")
    for _ in range(50):
        make_waiting()

    for _ in range(10):
        dispatcher.dispatch(NOON)

    assert len(sent(client)) == 2


def test_a_run_that_comes_late_goes_before_the_rest_of_another_agent_s_queue(dispatcher, client):
    Worker.update(threads=3).execute()
    for _ in range(100):
        make_waiting("long")
    dispatcher.dispatch(NOON)
    for run_hex in sent(client):
        claim(run_hex)
    client.flushall()

    late = make_waiting("other", available_at=NOON + MINUTE)
    dispatcher.dispatch(NOON + MINUTE)

    assert sent(client)[0] == late.id.hex


def test_runs_whose_time_has_not_come_hide_none_behind_them(dispatcher, client):
    for _ in range(20):
        make_waiting(available_at=NOON + MINUTE)
    ready = make_waiting()

    dispatcher.dispatch(NOON)

    assert sent(client) == [ready.id.hex]


def test_looking_for_the_lines_reads_as_many_runs_as_there_are_lines(database):
    for priority in range(3):
        make_waiting(priority=priority)
    double_the_runs(times=13)
    explain = "EXPLAIN QUERY PLAN" if db.is_sqlite() else "EXPLAIN"

    sql = run_lines._HEADS.format(by_queue=db.indexed_by("run_queued"))
    plan = "\n".join(str(row) for row in db.execute(f"{explain} {sql}").fetchall())

    assert "run_queued" in plan
    assert "Seq Scan on run" not in plan
    assert not re.search(r"SCAN (run|before)\b(?! USING)", plan)
    assert sorted(run_lines.heads()) == [("echo", priority, None) for priority in range(3)]


def double_the_runs(*, times):
    others = ", ".join(name for name in Run._meta.columns if name != "id")
    new_id = "lower(hex(randomblob(16)))" if db.is_sqlite() else "gen_random_uuid()"
    for _ in range(times):
        db.execute(f"INSERT INTO run (id, {others}) SELECT {new_id}, {others} FROM run")
    if not db.is_sqlite():
        db.execute("ANALYZE run")


def test_messages_sent_again_and_in_vain_are_counted(dispatcher, client, monkeypatch):
    counted = Counter()
    monkeypatch.setattr(tally, "add", lambda what, number=1: counted.update({what: number}))
    make_waiting()
    dispatcher.dispatch(NOON)

    dispatcher.dispatch(NOON + RESEND_AFTER)
    monkeypatch.setattr(dispatcher, "_client", messages.publisher("redis://127.0.0.1:1/0"))
    monkeypatch.setattr(messages, "waiting", lambda *_: 0)
    with pytest.raises(redis.RedisError):
        dispatcher.dispatch(NOON + 4 * RESEND_AFTER)

    assert counted == {Count.RESENDS: 1, Count.FAILED_SENDS: 1}
