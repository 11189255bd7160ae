"""Which queued runs may go now, in which order, and the sending of their ids.

The only way into Redis. The row of a run is its outbox: it is marked as sent in one transaction,
and sent after the commit. What was sent and never claimed is sent again, later each time; what
could not be sent is marked as unsent. Sending twice is harmless, for only one can claim.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

import redis

from shared import db, messages
from shared.db import stamp
from shared.messages import Sending

logger = logging.getLogger(__name__)

# However often a run was sent in vain, it is sent again within this.
_RESEND_AT_LEAST_EVERY = timedelta(minutes=5)


class Outgoing:
    """Runs that a transaction marks as sent, to be sent once it is committed."""

    def __init__(self, room: int, again_at: datetime) -> None:
        self._room = room
        self._taken: list[tuple[int, str]] = []
        #: When they are sent again if nobody claims them, as `shared.db.stamp` writes it.
        self.again_at = stamp(again_at)

    def take(self, run_id: str, priority: int) -> bool:
        """Take a run, named in hexadecimal digits. False: there is no room."""
        if len(self._taken) >= self._room:
            return False
        self._taken.append((-priority, run_id))
        return True

    def sendings(self) -> list[Sending]:
        """What has been taken, the most urgent first."""
        urgent_first = sorted(self._taken, key=itemgetter(0))
        return [Sending(run_id, 0) for _, run_id in urgent_first]


class Dispatcher:
    """Sends queued runs, as many as the window leaves room for."""

    def __init__(self, client: redis.Redis, *, window: int, resend_after: timedelta) -> None:
        self._client = client
        self._window = window
        self._resend_after = resend_after
        # What is known of Redis without asking: none, until it has been.
        self._room = 0

    def dispatch(self, now: datetime) -> int:
        """Send what may go at *now*, the most urgent first; how many were sent.

        Raises `redis.RedisError` when Redis cannot be reached; then all is as before.
        """
        return self._choose_and_send(now, None)

    @contextmanager
    def outgoing(self, now: datetime) -> Iterator[Outgoing]:
        """Something to fill in a transaction, which is to be committed within the block.

        It has the room that the last dispatch left. Raises `redis.RedisError` at the end of the
        block if what was taken could not be sent; then it is marked as unsent.
        """
        outgoing = Outgoing(self._room, now + self._resend_after)
        yield outgoing
        self._send(outgoing.sendings(), now)

    def at_once(self, run_id: UUID, now: datetime) -> None:
        """Send a run that was just committed, if it may go.

        Never raises because of Redis: the scheduler sends what this leaves behind.
        """
        try:
            self._choose_and_send(now, run_id)
        except redis.RedisError as error:
            logger.warning("run %s left to the scheduler to dispatch: %s", run_id, error)

    def _choose_and_send(self, now: datetime, only: UUID | None) -> int:
        self._room = self._window - messages.waiting(self._client)
        if self._room <= 0:
            return 0
        with db.transaction():
            sendings = _unlimited(now, self._room, only)
            sendings += _limited(now, self._room - len(sendings), only)
            self._mark_sent(sendings, now)
        self._send(sendings, now)
        return len(sendings)

    def _send(self, sendings: list[Sending], now: datetime) -> None:
        try:
            messages.send(self._client, sendings)
            self._room -= len(sendings)
        except redis.RedisError:
            self._room = 0
            with db.transaction():
                _mark_unsent(sendings, now)
            raise

    def _mark_sent(self, sendings: list[Sending], now: datetime) -> None:
        by_dispatches: dict[int, list[str]] = defaultdict(list)
        for sending in sendings:
            by_dispatches[sending.dispatches].append(sending.run_id)
        for dispatches, ids in by_dispatches.items():
            wait = min(self._resend_after * 2 ** min(dispatches, 20), _RESEND_AT_LEAST_EVERY)
            db.execute(
                "UPDATE run SET dispatches = dispatches + 1, dispatch_at = :at"
                f" WHERE id IN {db.uuids('ids')}",
                {"ids": json.dumps(ids), "at": stamp(now + wait)},
            )


def _mark_unsent(sendings: list[Sending], now: datetime) -> None:
    db.execute(
        "UPDATE run SET dispatches = 0, dispatch_at = :now"
        f" WHERE status = 'QUEUED' AND dispatches > 0 AND id IN {db.uuids('ids')}",
        {"ids": json.dumps([each.run_id for each in sendings]), "now": stamp(now)},
    )


_READY = """
    SELECT id, dispatches FROM run {by_queue}
    WHERE status = 'QUEUED' AND dispatch_at <= :now AND {which}
    ORDER BY priority DESC, dispatch_at LIMIT :limit {locking}
"""


def _unlimited(now: datetime, limit: int, only: UUID | None) -> list[Sending]:
    """Runs of agents that any number of runs may use at once."""
    return _ready(
        "agent_id NOT IN (SELECT id FROM agent WHERE max_concurrency IS NOT NULL)",
        now,
        limit,
        only,
    )


def _limited(now: datetime, limit: int, only: UUID | None) -> list[Sending]:
    """Runs of agents that only so many runs may use at once: as many as there are places free.

    A run has its place from when it is sent until it ends or is queued again. The agent's row is
    locked meanwhile, so that two schedulers cannot give away the same place.
    """
    if limit <= 0:
        return []
    # An agent that somebody else has locked is left to the next dispatch, which is soon.
    agents = db.execute(
        f"""
        SELECT id, max_concurrency FROM agent WHERE max_concurrency IS NOT NULL AND id IN (
          SELECT agent_id FROM run {"" if only else _by_queue()}
          WHERE status = 'QUEUED' AND dispatch_at <= :now {"AND run.id = :only" if only else ""}
        ) ORDER BY id {db.locking("FOR NO KEY UPDATE SKIP LOCKED")}
        """,
        {"now": stamp(now), **({"only": only.hex} if only else {})},
    ).fetchall()
    sendings: list[Sending] = []
    for agent_id, most in agents:
        agent = {"agent_id": agent_id}
        again = _ready(
            "agent_id = :agent_id AND dispatches > 0", now, limit - len(sendings), only, agent
        )
        free = min(most - _taken(agent), limit - len(sendings) - len(again))
        fresh = _ready("agent_id = :agent_id AND dispatches = 0", now, free, only, agent)
        sendings += again + fresh
    return sendings


def _taken(agent: dict[str, Any]) -> int:
    """How many places of an agent are taken: by runs that run, or that were sent."""
    queued = f"run {_by_queue()} WHERE status = 'QUEUED' AND dispatches > 0"
    running = f"run {db.indexed_by('run_leased')} WHERE status = 'RUNNING'"
    counts = (f"SELECT COUNT(*) FROM {each} AND agent_id = :agent_id" for each in (queued, running))
    return sum(db.execute(sql, agent).fetchone()[0] for sql in counts)


def _by_queue() -> str:
    return db.indexed_by("run_queued")


def _ready(
    which: str, now: datetime, limit: int, only: UUID | None, values: dict[str, Any] | None = None
) -> list[Sending]:
    if limit <= 0:
        return []
    sql = _READY.format(
        by_queue="" if only else _by_queue(),
        which=which if only is None else f"{which} AND id = :only",
        locking=db.locking("FOR UPDATE SKIP LOCKED"),
    )
    bound = {**(values or {}), "now": stamp(now), "limit": limit}
    if only is not None:
        bound["only"] = only.hex
    return [Sending(db.uuid_hex(row[0]), row[1]) for row in db.execute(sql, bound).fetchall()]
