"""The messages that cross Redis, and the sending of them.

A message is a name and an id: it holds nothing that must not be lost, and nothing secret. It is
built by name, so that whoever sends it need not import the actor that answers to it.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import redis
from dramatiq import Message
from redis.backoff import NoBackoff
from redis.retry import Retry

EXECUTE_RUN = "execute_run"
RUNS_QUEUE = "runs"
NAMESPACE = "agent-manager"

# One message, encoded once; each run's is a copy with its own ids in it.
_RUN, _MESSAGE = "{run}", "{message}"

# Longer than any message of ours.
_LONGEST = 1024


class Sending(NamedTuple):
    """A run that is to be executed, and how often it has been sent before."""

    #: In hexadecimal digits.
    run_id: str
    dispatches: int


@dataclass
class Chosen:
    """Runs to be sent: those to be marked as sent before, and those that are marked already."""

    unsent: list[Sending] = field(default_factory=list)
    marked: list[Sending] = field(default_factory=list)
    #: Whether runs wait for a place that somebody may soon have.
    held_back: bool = False


def publisher(url: str) -> redis.Redis:
    """A client to send with: it gives up after a second and never sends twice by itself."""
    return redis.Redis.from_url(
        url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
    )


def waiting(client: redis.Redis, queue: str) -> int:
    """How many messages wait in Redis for a worker of *queue* to fetch them."""
    key = _key(queue)
    with reconnecting(client), client.pipeline(transaction=False) as pipeline:
        # This removes nothing, but what became a replica refuses it: nobody fetches from there.
        pipeline.ltrim(key, 0, -1)
        pipeline.llen(key)
        length: int = pipeline.execute()[-1]
    return length


def send(client: redis.Redis, queue: str, sendings: Iterable[Sending]) -> None:
    """Put a message for each run at the end of *queue*, in order, in one round trip: all or none.

    The layout is that of Dramatiq's Redis broker: a list of message ids, and a hash from message
    id to message.
    """
    # An id is never used again: whoever is done with one message must not delete the next.
    mark = secrets.token_hex(4)
    key, template = _key(queue), _template(queue)
    bodies: dict[Any, Any] = {}
    for sending in sendings:
        message_id = f"{sending.run_id}.{mark}"
        body = template.replace(_MESSAGE, message_id).replace(_RUN, sending.run_id)
        bodies[message_id] = body
    if not bodies:
        return
    with reconnecting(client), client.pipeline() as pipeline:
        pipeline.hset(f"{key}.msgs", mapping=bodies)
        pipeline.rpush(key, *bodies)
        pipeline.execute()


def read(body: bytes, queue: str) -> Message[Any] | None:
    """The message that *body*, fetched from *queue*, holds. None: it is none of ours."""
    if len(body) > _LONGEST:
        return None
    try:
        said = json.loads(body)
        (run_id,) = said["args"]
        actor, message_id = said["actor_name"], said["options"]["redis_message_id"]
        UUID(run_id)
        if actor != EXECUTE_RUN or not message_id.isascii():
            return None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return _message(queue, run_id, message_id)


def _message(queue: str, run_id: str, message_id: str) -> Message[Any]:
    return Message(
        queue_name=queue,
        actor_name=EXECUTE_RUN,
        args=(run_id,),
        kwargs={},
        # Others that Dramatiq knows would delay it, or say what may be raised.
        options={"redis_message_id": message_id},
        message_id=message_id,
        message_timestamp=0,
    )


@cache
def _template(queue: str) -> str:
    return _message(queue, _RUN, _MESSAGE).encode().decode()


@contextmanager
def reconnecting(client: redis.Redis) -> Iterator[None]:
    """After an error of Redis within the block have *client* connect anew.

    Its url may lead elsewhere by now: a failover need not end the connections of clients.
    """
    try:
        yield
    except redis.RedisError:
        client.connection_pool.disconnect(inuse_connections=False)
        raise


def _key(queue: str) -> str:
    return f"{NAMESPACE}:{queue}"
