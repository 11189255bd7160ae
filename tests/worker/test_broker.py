"""The consumer that waits, on a real Valkey."""

import json
import threading
import time

import pytest
import redis
from dramatiq import Message
from dramatiq.errors import ConnectionClosed
from waiting import wait_until

from shared import messages
from shared.messages import EXECUTE_RUN, NAMESPACE, RUNS_QUEUE, Sending
from worker.broker import WaitingBroker

QUEUE = f"{NAMESPACE}:{RUNS_QUEUE}"
HEARTBEATS = f"{NAMESPACE}:__heartbeats__".encode()
RUN_1, RUN_2, RUN_3 = ("1" * 32, "2" * 32, "3" * 32)


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def broker(valkey):
    broker = WaitingBroker(valkey)
    broker.declare_queue(RUNS_QUEUE)
    yield broker
    broker.close()
    broker.client.close()


@pytest.fixture
def consumer(broker):
    return broker.consume(RUNS_QUEUE, prefetch=2)


def send(client, *names):
    messages.send(client, [Sending(name, 0) for name in names])


def in_redis(client):
    """The runs of which there is a message, whether it was fetched or not."""
    return [Message.decode(body).args[0] for body in client.hvals(f"{QUEUE}.msgs")]


def waiting(client):
    """The runs whose messages wait to be fetched."""
    return [message_id.partition(b".")[0].decode() for message_id in client.lrange(QUEUE, 0, -1)]


def test_what_was_sent_is_consumed_in_order(client, consumer):
    send(client, RUN_1, RUN_2)

    first, second = next(consumer), next(consumer)

    assert (first.actor_name, first.args) == (EXECUTE_RUN, (RUN_1,))
    assert second.args == (RUN_2,)


def test_a_message_sent_while_it_waits_wakes_it_at_once(client, consumer):
    received = []
    waiter = threading.Thread(target=lambda: received.extend([next(consumer), next(consumer)]))
    waiter.start()
    wait_until(lambda: any(each["cmd"] == "blmove" for each in client.client_list()))

    send(client, RUN_1)

    waiter.join(5)
    assert [message.args[0] for message in received if message] == [RUN_1]


def test_no_more_is_fetched_than_there_is_room_for(client, consumer):
    send(client, RUN_1, RUN_2, RUN_3)

    taken = [next(consumer), next(consumer)]
    consumer._freed.set()

    assert next(consumer) is None
    consumer.ack(taken[0])
    assert wait_until(lambda: next(consumer)).args == (RUN_3,)


def test_what_has_ended_is_gone_from_redis_with_the_next_fetch(client, consumer):
    send(client, RUN_1)
    consumer.ack(next(consumer))
    assert in_redis(client) == [RUN_1]

    send(client, RUN_2)
    next(consumer)

    assert in_redis(client) == [RUN_2]


def test_a_run_sent_again_as_it_ends_is_consumed_again(client, consumer):
    send(client, RUN_1)
    consumer.ack(next(consumer))

    send(client, RUN_1)

    assert next(consumer).args == (RUN_1,)


def test_closing_tells_redis_what_has_ended(client, consumer):
    send(client, RUN_1)
    consumer.ack(next(consumer))

    consumer.close()

    assert in_redis(client) == []
    assert client.keys(f"{NAMESPACE}:__acks__*") == []


def test_a_draining_broker_fetches_nothing(client, broker, consumer):
    send(client, RUN_1)
    broker.drain()
    consumer._freed.set()

    assert next(consumer) is None
    assert waiting(client) == [RUN_1]


def test_what_ended_while_redis_was_away_is_told_when_it_is_back(client, broker, consumer):
    send(client, RUN_1, RUN_2)
    consumer.ack(next(consumer))
    client_of_broker, broker.client = broker.client, messages.publisher("redis://127.0.0.1:1")
    with pytest.raises(ConnectionClosed):
        consumer.close()
    broker.client = client_of_broker

    broker.consume(RUNS_QUEUE, prefetch=2).close()

    assert in_redis(client) == [RUN_2]


def test_what_was_not_worked_on_goes_back(client, consumer):
    send(client, RUN_1)

    consumer.requeue([next(consumer)])

    assert waiting(client) == [RUN_1]


OURS = {
    "actor_name": EXECUTE_RUN,
    "queue_name": RUNS_QUEUE,
    "args": [RUN_2],
    "kwargs": {},
    "options": {"redis_message_id": "strange"},
    "message_id": "strange",
    "message_timestamp": 0,
}


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"null", b"\x80\x04", b"[" * 1000, b'{"args": []}'),
        *(
            json.dumps(OURS | wrong).encode()
            for wrong in (
                {"actor_name": "other"},
                {"args": []},
                {"args": None},
                {"args": [RUN_2, RUN_2]},
                {"args": ["a run"]},
                {"args": [{"id": RUN_2}]},
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
    client.hset(f"{QUEUE}.msgs", "strange", body)
    client.rpush(QUEUE, "strange")
    send(client, RUN_1)

    message = wait_until(lambda: next(consumer))

    assert message.args == (RUN_1,)
    assert in_redis(client) == [RUN_1]
    consumer.ack(message)
    consumer.close()
    assert client.keys() == [HEARTBEATS]


@pytest.mark.parametrize(
    "more",
    [
        {"queue_name": "other"},
        {"kwargs": {"run_id": RUN_3}},
        {"options": {**OURS["options"], "eta": 10**15, "throws": ["x"], "pipe_target": 1}},
    ],
)
def test_what_more_a_message_says_is_not_heeded(client, consumer, more):
    client.hset(f"{QUEUE}.msgs", "strange", json.dumps(OURS | more))
    client.rpush(QUEUE, "strange")

    message = next(consumer)

    assert (message.actor_name, message.args, message.kwargs) == (EXECUTE_RUN, (RUN_2,), {})
    assert (message.queue_name, message.options) == (RUNS_QUEUE, OURS["options"])


def test_a_message_under_another_name_than_its_own_is_deleted_too(client, consumer):
    client.hset(f"{QUEUE}.msgs", "another", json.dumps(OURS))
    client.rpush(QUEUE, "another")

    consumer.ack(next(consumer))
    consumer.close()

    assert client.keys() == [HEARTBEATS]


def test_a_message_without_a_body_is_passed_over_and_leaves_nothing(client, consumer):
    client.rpush(QUEUE, "gone")
    send(client, RUN_1)

    message = wait_until(lambda: next(consumer))

    assert message.args == (RUN_1,)
    consumer.ack(message)
    consumer.close()
    assert client.keys() == [HEARTBEATS]


@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError],
)
def test_a_redis_of_no_use_is_waited_for_and_said_once(error, client, broker, consumer, caplog):
    caplog.set_level("INFO")

    def fail(*_):
        raise error("no use")

    broker.do_fetch = fail
    assert (next(consumer), next(consumer)) == (None, None)
    del broker.do_fetch
    send(client, RUN_1)

    assert next(consumer).args == (RUN_1,)
    assert caplog.text.count("cannot fetch messages from Redis") == 1
    assert "can fetch messages from Redis again" in caplog.text


def test_a_redis_that_is_away_is_not_asked_again_at_once(client, broker, consumer):
    send(client, RUN_1)
    consumer.ack(next(consumer))
    broker.client = messages.publisher("redis://127.0.0.1:1")
    started = time.monotonic()

    assert next(consumer) is None

    assert time.monotonic() - started > 0.9


def test_there_is_no_queue_of_delayed_messages(broker):
    assert broker.get_declared_queues() == {RUNS_QUEUE}
    assert broker.delay_queues == set()
