"""The messages that cross Redis, and the sending of them.

A message is a name and an id: it holds nothing that must not be lost, and nothing secret. It is
built by name, so that whoever sends it need not import the actor that answers to it.
"""

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis
from dramatiq import Message
from redis.backoff import NoBackoff
from redis.retry import Retry

EXECUTE_RUN = "execute_run"
RUNS_QUEUE = "runs"
NAMESPACE = "agent-manager"

# One message, encoded once; each run's is a copy with its own ids in it.
_RUN, _MESSAGE = "{run}", "{message}"
_TEMPLATE = (
    Message(
        queue_name=RUNS_QUEUE,
        actor_name=EXECUTE_RUN,
        args=(_RUN,),
        kwargs={},
        options={"redis_message_id": _MESSAGE},
        message_id=_MESSAGE,
        message_timestamp=0,
    )
    .encode()
    .decode()
)


class Sending(NamedTuple):
    """A run that is to be executed, and how often it has been sent before."""

    #: In hexadecimal digits.
    run_id: str
    dispatches: int


def publisher(url: str) -> redis.Redis:
    """A client to send with: it gives up after a second and never sends twice by itself."""
    return redis.Redis.from_url(
        url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
    )


def waiting(client: redis.Redis) -> int:
    """How many messages wait in Redis for a worker to fetch them."""
    length: int = client.llen(_queue_key())
    return length


def send(client: redis.Redis, sendings: Iterable[Sending]) -> None:
    """Put a message for each run at the end of the queue, in order, in one round trip: all or none.

    The layout is that of Dramatiq's Redis broker: a list of message ids, and a hash from message
    id to message.
    """
    # An id is never used again: whoever is done with one message must not delete the next.
    mark = secrets.token_hex(4)
    bodies: dict[Any, Any] = {}
    for sending in sendings:
        message_id = f"{sending.run_id}.{mark}"
        body = _TEMPLATE.replace(_MESSAGE, message_id).replace(_RUN, sending.run_id)
        bodies[message_id] = body
    if not bodies:
        return
    with client.pipeline() as pipeline:
        pipeline.hset(f"{_queue_key()}.msgs", mapping=bodies)
        pipeline.rpush(_queue_key(), *bodies)
        pipeline.execute()


def _queue_key() -> str:
    return f"{NAMESPACE}:{RUNS_QUEUE}"
