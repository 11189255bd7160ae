"""Which queued runs go, in which order, and what becomes of those that could not be sent."""

from datetime import timedelta

import dramatiq
import pytest
import redis
from factories import LEASE, MINUTE, NOON, make_agent, make_run, status_of

from shared import messages, runs
from shared.attempts import Lease, Outcome
from shared.dispatch import Dispatcher
from shared.models import Run
from shared.states import COMPLETED, QUEUED

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


def make_waiting(agent="echo", **values):
    return make_run(agent, **{"dispatches": 0} | values)


def sent(client):
    """The ids of the runs that wait in Redis, in order."""
    keys = client.lrange("agent-manager:runs", 0, -1)
    bodies = client.hmget("agent-manager:runs.msgs", keys) if keys else []
    return [dramatiq.Message.decode(body).args[0] for body in bodies]


def claim(run_hex):
    return runs.claim(Run.get_by_id(run_hex).id, "worker-1", lease=LEASE, now=NOON + MINUTE)


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
    make_waiting(dispatch_at=NOON + timedelta(microseconds=1))

    assert dispatcher.dispatch(NOON) == 0
    assert sent(client) == []


def test_the_most_urgent_go_first_and_then_the_longest_waiting(dispatcher, client):
    late = make_waiting(priority=5, dispatch_at=NOON)
    early = make_waiting(priority=5, dispatch_at=NOON - MINUTE)
    urgent = make_waiting(priority=9, dispatch_at=NOON)

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


def test_sending_at_once_never_fails_because_of_redis(make_dispatcher):
    run = make_waiting()
    nowhere = messages.publisher("redis://127.0.0.1:1/0")

    make_dispatcher(client=nowhere).at_once(run.id, NOON)

    assert runs.get(run.id).dispatches == 0


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

    runs.finish(Lease(claimed.id, 1), Outcome(status=COMPLETED), now=NOON)

    assert dispatcher.dispatch(NOON) == 1


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
