"""Dramatiq's Redis broker, with a consumer that waits for messages instead of polling for them.

The stock consumer sleeps for up to a second when a queue is empty, and has Redis remember what was
fetched until it is acknowledged. This one blocks on `BLMOVE queue queue LEFT LEFT`, which wakes it
at once and moves nothing, and takes out of Redis what it fetches: a message that gets lost after
that is sent again, for the row of its run says that nobody has claimed it.
"""

import logging
import time
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any, Protocol
from uuid import UUID

import redis
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import messages
from shared.log import Trouble
from shared.messages import NAMESPACE, reconnecting

logger = logging.getLogger(__name__)

# How long one wait may last: a consumer looks up now and then to see whether it is to stop.
_WAIT_SECONDS = 1
# As many as Lua can unpack.
_MOST_AT_ONCE = 1000
_TAKE = """
    local ids = redis.call("LPOP", KEYS[1], ARGV[1])
    if not ids then return {} end
    local bodies = redis.call("HMGET", KEYS[2], unpack(ids))
    redis.call("HDEL", KEYS[2], unpack(ids))
    return bodies
"""


class Intake(Protocol):
    """Who takes the runs that messages name."""

    def room(self, seconds: float) -> int:
        """How many more runs can be taken; waits for *seconds* at most while it is none."""

    def take(self, run_ids: Collection[UUID]) -> Iterable[UUID]:
        """Take runs, some perhaps named twice; those of them that are to be executed, each once."""

    def put_back(self, run_ids: Iterable[UUID]) -> None:
        """Put back runs that were taken and are not executed."""


class WaitingBroker(RedisBroker):
    """A broker to consume from, without any of Dramatiq's middleware.

    Retries, time limits and results are ours, in the database; delayed messages there are none.
    """

    def __init__(self, url: str, intake: Intake) -> None:
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
        self.intake = intake
        self.take = client.register_script(_TAKE)
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
        self._intake = broker.intake
        self._queue = queue_name
        self._key = f"{broker.namespace}:{queue_name}"
        self._taken: deque[MessageProxy] = deque()

    def __next__(self) -> MessageProxy | None:
        """The next message; None now and then, while there is none."""
        try:
            if not self._taken:
                with reconnecting(self._broker.client):
                    self._fetch()
        except redis.RedisError as error:
            # It is away, full, or a replica by now; that passes.
            self._broker.trouble.begins(error)
            time.sleep(_WAIT_SECONDS)
            return None
        self._broker.trouble.ends()
        return self._taken.popleft() if self._taken else None

    def ack(self, message: Any) -> None:
        """Nothing: Redis knows no more of it."""

    def nack(self, message: Any) -> None:
        """Nothing, likewise."""

    def requeue(self, fetched: Iterable[Any]) -> None:
        """Put the runs back whose messages were not worked on."""
        self._intake.put_back(map(_run_of, fetched))

    def close(self) -> None:
        """Put back what was fetched and not given out."""
        self.requeue(self._taken)
        self._taken.clear()

    def _fetch(self) -> None:
        if self._broker.draining:
            time.sleep(_WAIT_SECONDS)
            return
        room = min(self._intake.room(_WAIT_SECONDS), _MOST_AT_ONCE)
        if room <= 0:
            return
        bodies = self._broker.take(keys=[self._key, f"{self._key}.msgs"], args=[room])
        if not bodies:
            self._broker.client.blmove(self._key, self._key, _WAIT_SECONDS, "LEFT", "LEFT")
            return
        fetched: dict[UUID, Message[Any]] = {}
        named: list[UUID] = []
        for body in filter(None, bodies):  # Where there is none, it was fetched already.
            message = messages.read(body, self._queue)
            if message is None:
                logger.error("a message that is none of ours was dropped")
                continue
            named.append(_run_of(message))
            fetched[named[-1]] = message
        if named:
            self._taken.extend(MessageProxy(fetched[run_id]) for run_id in self._intake.take(named))


def _run_of(message: Any) -> UUID:
    return UUID(message.args[0])
