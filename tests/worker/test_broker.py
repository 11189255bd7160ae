"""The consumer that waits, on a real Valkey."""

import json
import threading
import time
from uuid import UUID, uuid4

import pytest
import redis
from dramatiq import Message
from waiting import wait_until

from shared import messages
from shared.messages import EXECUTE_RUN, NAMESPACE, RUNS_QUEUE, Sending
from worker import broker as broker_module
from worker.broker import WaitingBroker

QUEUE = f"{NAMESPACE}:{RUNS_QUEUE}"
FIRST, SECOND, THIRD = (uuid4() for _ in range(3))


class Intake:
    """Takes two runs, and none that another worker has claimed."""

    def __init__(self):
        self.free = 2
        self.claimed_elsewhere = set()
        self.back = []

    def room(self, seconds):
        return self.free

    def take(self, run_ids):
        taken = dict.fromkeys(run_ids).keys() - self.claimed_elsewhere
        self.free -= len(taken)
        return sorted(taken, key=run_ids.index)

    def put_back(self, run_ids):
        self.back.extend(run_ids)


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def intake():
    return Intake()


@pytest.fixture
def broker(valkey, intake):
    broker = WaitingBroker(valkey, intake)
    broker.declare_queue(RUNS_QUEUE)
    yield broker
    broker.close()
    broker.client.close()


@pytest.fixture
def consumer(broker):
    return broker.consume(RUNS_QUEUE)


@pytest.fixture
def impatient(monkeypatch):
    """Has no wait last."""
    monkeypatch.setattr(broker_module, "_WAIT_SECONDS", 0.01)


def send(client, *run_ids):
    messages.send(client, messages.RUNS_QUEUE, [Sending(run_id.hex, 0) for run_id in run_ids])


def run_of(message):
    return UUID(message.args[0])


def in_redis(client):
    """The runs of which there is a message."""
    return [run_of(Message.decode(body)) for body in client.hvals(f"{QUEUE}.msgs")]


def test_what_was_sent_is_consumed_in_order(client, consumer):
    send(client, FIRST, SECOND)

    first, second = next(consumer), next(consumer)

    assert first.actor_name == EXECUTE_RUN
    assert [run_of(first), run_of(second)] == [FIRST, SECOND]


def test_a_message_sent_while_it_waits_wakes_it_at_once(client, consumer):
    received = []
    waiter = threading.Thread(target=lambda: received.extend([next(consumer), next(consumer)]))
    waiter.start()
    wait_until(lambda: any(each["cmd"] == "blmove" for each in client.client_list()))

    send(client, FIRST)

    waiter.join(5)
    assert [run_of(message) for message in received if message] == [FIRST]


def test_no_more_is_fetched_than_there_is_room_for(client, consumer, intake):
    send(client, FIRST, SECOND, THIRD)

    taken = [next(consumer), next(consumer), next(consumer)]

    assert [run_of(each) for each in taken if each] == [FIRST, SECOND]
    assert in_redis(client) == [THIRD]
    intake.free = 1
    assert run_of(next(consumer)) == THIRD


def test_what_is_fetched_is_gone_from_redis(client, consumer):
    send(client, FIRST, SECOND)

    next(consumer)

    assert client.keys() == []


def test_a_run_sent_again_is_consumed_again(client, consumer):
    send(client, FIRST)
    next(consumer)

    send(client, FIRST)

    assert run_of(next(consumer)) == FIRST


def test_two_messages_for_one_run_come_to_one(client, consumer, intake):
    send(client, FIRST)
    send(client, FIRST)

    assert run_of(next(consumer)) == FIRST
    consumer.close()

    assert (in_redis(client), intake.back) == ([], [])


def test_what_another_worker_has_claimed_is_passed_over(client, consumer, intake):
    intake.claimed_elsewhere = {FIRST}
    send(client, FIRST, SECOND)

    assert run_of(next(consumer)) == SECOND


def test_a_draining_broker_fetches_nothing(client, broker, consumer, impatient):
    send(client, FIRST)
    broker.drain()

    assert next(consumer) is None
    assert in_redis(client) == [FIRST]


def test_what_was_not_worked_on_is_put_back(client, consumer, intake):
    send(client, FIRST, SECOND)

    consumer.requeue([next(consumer)])
    consumer.close()

    assert intake.back == [FIRST, SECOND]


OURS = {
    "actor_name": EXECUTE_RUN,
    "queue_name": RUNS_QUEUE,
    "args": [SECOND.hex],
    "kwargs": {},
    "options": {"redis_message_id": "strange"},
    "message_id": "strange",
    "message_timestamp": 0,
}


def put(client, body, name="strange"):
    if body is not None:
        client.hset(f"{QUEUE}.msgs", name, body)
    client.rpush(QUEUE, name)


@pytest.mark.parametrize(
    "body",
    [
        *(None, b"{", b"[]", b"null", b"\x80\x04", b"[" * 1000, b'{"args": []}'),
        *(
            json.dumps(OURS | wrong).encode()
            for wrong in (
                {"actor_name": "other"},
                {"args": []},
                {"args": None},
                {"args": [SECOND.hex, SECOND.hex]},
                {"args": ["a run"]},
                {"args": [{"id": SECOND.hex}]},
                {"options": None},
                {"options": {}},
                {"options": {"redis_message_id": ["strange"]}},
                {"options": {"redis_message_id": "\ud800"}},
                {"kwargs": {"padding": "x" * 2000}},
            )
        ),
    ],
)
def test_a_message_that_is_none_of_ours_strands_no_other_and_is_deleted(client, consumer, body):
    put(client, body)
    send(client, FIRST)

    assert run_of(wait_until(lambda: next(consumer))) == FIRST
    assert client.keys() == []


@pytest.mark.parametrize(
    "more",
    [
        {"queue_name": "other"},
        {"kwargs": {"run_id": THIRD.hex}},
        {"options": {**OURS["options"], "eta": 10**15, "throws": ["x"], "pipe_target": 1}},
    ],
)
def test_what_more_a_message_says_is_not_heeded(client, consumer, more):
    put(client, json.dumps(OURS | more))

    message = next(consumer)

    assert (message.actor_name, run_of(message), message.kwargs) == (EXECUTE_RUN, SECOND, {})
    assert (message.queue_name, message.options) == (RUNS_QUEUE, OURS["options"])


def test_a_message_under_another_name_than_its_own_is_deleted_too(client, consumer):
    put(client, json.dumps(OURS), name="another")

    assert run_of(next(consumer)) == SECOND
    assert client.keys() == []


@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError],
)
def test_a_redis_of_no_use_is_waited_for_and_said_once(
    error, client, broker, consumer, impatient, caplog, monkeypatch
):
    caplog.set_level("INFO")

    def fail(**_):
        raise error("no use")

    with monkeypatch.context() as patch:
        patch.setattr(broker, "take", fail)
        assert (next(consumer), next(consumer)) == (None, None)
    send(client, FIRST)

    assert run_of(next(consumer)) == FIRST
    assert caplog.text.count("cannot fetch messages from Redis") == 1
    assert "can fetch messages from Redis again" in caplog.text


def test_a_redis_that_is_away_is_not_asked_again_at_once(broker, consumer):
    broker.take.registered_client = messages.publisher("redis://127.0.0.1:1")
    started = time.monotonic()

    assert next(consumer) is None

    assert time.monotonic() - started > 0.9


def test_a_redis_that_is_full_is_fetched_from(client, consumer, impatient):
    send(client, FIRST)
    client.config_set("maxmemory", "1")
    try:
        assert run_of(next(consumer)) == FIRST
    finally:
        client.config_set("maxmemory", "0")


def test_there_is_no_queue_of_delayed_messages(broker):
    assert broker.get_declared_queues() == {RUNS_QUEUE}
    assert broker.delay_queues == set()
