"""Dramatiq's Redis broker, with a consumer that waits for messages instead of polling for them.

The stock consumer sleeps for up to a second when a queue is empty, and acknowledges messages one
by one. This one blocks on `BLMOVE queue queue LEFT LEFT`, which wakes it at once and moves
nothing, and acknowledges all that has ended on its way to fetching more. An acknowledgement that
is lost means a second delivery, of which only one can claim the run.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import messages
from shared.log import Trouble
from shared.messages import NAMESPACE, reconnecting

logger = logging.getLogger(__name__)

# How long one wait may last: a consumer looks up now and then to see whether it is to stop.
_WAIT_SECONDS = 1


class WaitingBroker(RedisBroker):
    """A broker to consume from, without any of Dramatiq's middleware.

    Retries, time limits and results are ours, in the database; delayed messages there are none.
    """

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url,
            # Longer than any wait, so that it passes only where Redis is gone without a word.
            socket_timeout=5 * _WAIT_SECONDS,
            socket_connect_timeout=5 * _WAIT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        super().__init__(  # type: ignore[no-untyped-call]
            client=client, middleware=[], namespace=NAMESPACE, maintenance_chance=100_000
        )
        # These outlive a consumer, which is made anew when Redis comes back.
        self.in_hand: set[str] = set()
        self.ended: list[str] = []
        self.draining = False
        self.trouble = Trouble(logger, "fetch messages from Redis")

    def drain(self) -> None:
        """Fetch nothing from now on."""
        self.draining = True

    @property
    def consumer_class(self) -> type["WaitingConsumer"]:
        """What `consume` makes."""
        return WaitingConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, and no queue of delayed messages beside it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)


class WaitingConsumer(Consumer):
    """Fetches as many messages as there is room for, as soon as there are any."""

    def __init__(self, broker: WaitingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._prefetch = prefetch
        self._key = f"{broker.namespace}:{queue_name}"
        self._acks = f"{broker.namespace}:__acks__.{broker.broker_id}.{queue_name}"
        self._fetched: deque[MessageProxy] = deque()
        self._freed = threading.Event()

    def __next__(self) -> MessageProxy | None:
        """The next message; None now and then, while there is none."""
        try:
            if not self._fetched:
                with reconnecting(self._broker.client):
                    self._fetch()
        except redis.RedisError as error:
            # It is away, full, or a replica by now; that passes.
            self._broker.trouble.begins(error)
            time.sleep(_WAIT_SECONDS)
            return None
        self._broker.trouble.ends()
        return self._fetched.popleft() if self._fetched else None

    def ack(self, message: Any) -> None:
        """Note that a message has ended; Redis learns of it with the next fetch."""
        message_id = message.options["redis_message_id"]
        self._broker.ended.append(message_id)
        self._broker.in_hand.discard(message_id)
        self._freed.set()

    def requeue(self, fetched: Iterable[Any]) -> None:
        """Put messages back that were fetched and not worked on."""
        message_ids = [message.options["redis_message_id"] for message in fetched]
        try:
            if message_ids:
                self._broker.do_requeue(self._queue_name, *message_ids)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None

    def close(self) -> None:
        """Tell Redis what has ended."""
        try:
            self._acknowledge()
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None

    def _fetch(self) -> None:
        room = self._prefetch - len(self._broker.in_hand)
        if room <= 0 or self._broker.draining:
            self._freed.wait(_WAIT_SECONDS)
            self._freed.clear()
            return
        self._acknowledge()
        bodies = self._broker.do_fetch(self._queue_name, room)
        if not bodies:
            self._broker.client.blmove(self._key, self._key, _WAIT_SECONDS, "LEFT", "LEFT")
        # Where there is none, the message ended under another delivery.
        read = [messages.read(body) for body in bodies if body is not None]
        fetched = [message for message in read if message is not None]
        self._broker.in_hand.update(each.options["redis_message_id"] for each in fetched)
        self._fetched.extend(map(MessageProxy, fetched))
        if len(fetched) < len(read):
            logger.error("%d messages that are none of ours dropped", len(read) - len(fetched))
        if len(fetched) < len(bodies):
            self._forget_others()

    def _acknowledge(self) -> None:
        ended, self._broker.ended = self._broker.ended, []
        if not ended:
            return
        try:
            removed = self._delete(ended)
        except redis.RedisError:
            self._broker.ended += ended
            raise
        if removed < len(ended):
            self._forget_others()

    def _forget_others(self) -> None:
        """Delete what this consumer fetched and has not in hand: a message that was none of ours,
        or that lay there under another name than its own.
        """
        in_hand = [*self._broker.in_hand, *self._broker.ended]
        others = self._broker.client.smembers(self._acks) - {each.encode() for each in in_hand}
        if others:
            self._delete(others)

    def _delete(self, message_ids: Collection[str | bytes]) -> int:
        """Delete messages that this consumer fetched; how many of them it had."""
        with self._broker.client.pipeline(transaction=False) as pipeline:
            pipeline.srem(self._acks, *message_ids)
            pipeline.hdel(f"{self._key}.msgs", *message_ids)
            removed: int = pipeline.execute()[0]
        return removed
