"""The consumer that waits, on a real Valkey."""

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
    send(client, "run-1", "run-2")

    first, second = next(consumer), next(consumer)

    assert (first.actor_name, first.args) == (EXECUTE_RUN, ("run-1",))
    assert second.args == ("run-2",)


def test_a_message_sent_while_it_waits_wakes_it_at_once(client, consumer):
    received = []
    waiter = threading.Thread(target=lambda: received.extend([next(consumer), next(consumer)]))
    waiter.start()
    wait_until(lambda: any(each["cmd"] == "blmove" for each in client.client_list()))

    send(client, "run-1")

    waiter.join(5)
    assert [message.args[0] for message in received if message] == ["run-1"]


def test_no_more_is_fetched_than_there_is_room_for(client, consumer):
    send(client, "run-1", "run-2", "run-3")

    taken = [next(consumer), next(consumer)]
    consumer._freed.set()

    assert next(consumer) is None
    consumer.ack(taken[0])
    assert wait_until(lambda: next(consumer)).args == ("run-3",)


def test_what_has_ended_is_gone_from_redis_with_the_next_fetch(client, consumer):
    send(client, "run-1")
    consumer.ack(next(consumer))
    assert in_redis(client) == ["run-1"]

    send(client, "run-2")
    next(consumer)

    assert in_redis(client) == ["run-2"]


def test_a_run_sent_again_as_it_ends_is_consumed_again(client, consumer):
    send(client, "run-1")
    consumer.ack(next(consumer))

    send(client, "run-1")

    assert next(consumer).args == ("run-1",)


def test_closing_tells_redis_what_has_ended(client, consumer):
    send(client, "run-1")
    consumer.ack(next(consumer))

    consumer.close()

    assert in_redis(client) == []
    assert client.keys(f"{NAMESPACE}:__acks__*") == []


def test_a_draining_broker_fetches_nothing(client, broker, consumer):
    send(client, "run-1")
    broker.drain()
    consumer._freed.set()

    assert next(consumer) is None
    assert waiting(client) == ["run-1"]


def test_what_ended_while_redis_was_away_is_told_when_it_is_back(client, broker, consumer):
    send(client, "run-1", "run-2")
    consumer.ack(next(consumer))
    client_of_broker, broker.client = broker.client, messages.publisher("redis://127.0.0.1:1")
    with pytest.raises(ConnectionClosed):
        consumer.close()
    broker.client = client_of_broker

    broker.consume(RUNS_QUEUE, prefetch=2).close()

    assert in_redis(client) == ["run-2"]


def test_what_was_not_worked_on_goes_back(client, consumer):
    send(client, "run-1")

    consumer.requeue([next(consumer)])

    assert waiting(client) == ["run-1"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"args": []}', b"\x80\x04"])
def test_a_message_that_is_none_strands_no_other(client, consumer, body):
    client.hset(f"{QUEUE}.msgs", "bad", body)
    client.rpush(QUEUE, "bad")
    send(client, "run-1")

    assert wait_until(lambda: next(consumer)).args == ("run-1",)


def test_a_message_without_a_body_is_passed_over(client, consumer):
    client.rpush(QUEUE, "gone")
    send(client, "run-1")

    assert wait_until(lambda: next(consumer)).args == ("run-1",)


def test_a_message_that_dramatiq_itself_sends_is_understood(broker, consumer):
    broker.enqueue(
        Message(queue_name=RUNS_QUEUE, actor_name="other", args=("a",), kwargs={}, options={})
    )

    message = next(consumer)

    assert (message.actor_name, message.args) == ("other", ("a",))
    consumer.nack(message)


@pytest.mark.parametrize(
    "error", [redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError]
)
def test_a_redis_of_no_use_is_waited_for_and_said_once(error, client, broker, consumer, caplog):
    caplog.set_level("INFO")

    def fail(*_):
        raise error("no use")

    broker.do_fetch = fail
    assert (next(consumer), next(consumer)) == (None, None)
    del broker.do_fetch
    send(client, "run-1")

    assert next(consumer).args == ("run-1",)
    assert caplog.text.count("cannot fetch messages from Redis") == 1
    assert "can fetch messages from Redis again" in caplog.text


def test_a_redis_that_is_away_is_not_asked_again_at_once(client, broker, consumer):
    send(client, "run-1")
    consumer.ack(next(consumer))
    broker.client = messages.publisher("redis://127.0.0.1:1")
    started = time.monotonic()

    assert next(consumer) is None

    assert time.monotonic() - started > 0.9


def test_there_is_no_queue_of_delayed_messages(broker):
    assert broker.get_declared_queues() == {RUNS_QUEUE}
    assert broker.delay_queues == set()
