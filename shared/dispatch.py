"""Which queued runs may go now, in which order, and the sending of their ids.

The only way into Redis. The row of a run is its outbox: it is marked as sent in one transaction,
and sent after the commit. What was sent and never claimed is sent again, later each time; what
could not be sent is marked as unsent. Sending twice is harmless, for only one can claim.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Protocol
from uuid import UUID

import redis

from shared import db, messages, places, processes, run_lines, tally
from shared.db import stamp
from shared.log import Trouble
from shared.messages import Chosen, Sending
from shared.run_lines import RunLines
from shared.tally import Count
from shared.window import Window

logger = logging.getLogger(__name__)

# However often a run was sent in vain, it is sent again within this.
_RESEND_AT_LEAST_EVERY = timedelta(minutes=5)
# What came at the same time is on its own way; what has waited for so long has its turn first.
_LEFT_BEHIND_AFTER = timedelta(seconds=0.1)
# How long a request waits for the database, at each step.
_HURRY = timedelta(seconds=1)


class Lines(Protocol):
    """Where the runs of one queue wait."""

    queue: str

    def choose(self, now: datetime, room: int, *, again_at: str) -> Chosen:
        """The runs that go at *now*, at most *room* of them, in order; in a transaction.

        Those that it marks as sent are sent again at *again_at* if nobody claims them.
        """


class Outgoing:
    """Runs that a transaction marks as sent, to be sent once it is committed."""

    def __init__(self, room: int, again_at: datetime) -> None:
        self._room = room
        self._taken: list[tuple[int, str]] = []
        #: Whether something could go at once, and was not taken.
        self.left_behind = False
        #: When they are sent again if nobody claims them, as `shared.db.stamp` writes it.
        self.again_at = stamp(again_at)

    def take(self, run_id: str, priority: int) -> bool:
        """Take a run, named in hexadecimal digits. False: there is no room."""
        if len(self._taken) >= self._room:
            self.left_behind = True
            return False
        self._taken.append((-priority, run_id))
        return True

    def sendings(self) -> list[Sending]:
        """What has been taken, the most urgent first."""
        urgent_first = sorted(self._taken, key=itemgetter(0))
        return [Sending(run_id, 0) for _, run_id in urgent_first]


class Dispatcher:
    """Sends the queued runs of one queue, as many as there is room for.

    By default of that in which the runs of schedules and requests wait.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        window: int,
        resend_after: timedelta,
        lines: Lines | None = None,
    ) -> None:
        self._client = client
        self._lines = lines or RunLines()
        self._window = Window(window)
        self._resend_after = resend_after
        self._latest_resend = max(resend_after, _RESEND_AT_LEAST_EVERY)
        self._trouble = Trouble(logger, "send runs at once (a scheduler sends them)")
        # Whether the last dispatch left runs behind for want of a place of their agent's.
        self._held_back = False
        #: Whether something that was put into `outgoing` since the last dispatch waits for one.
        self.left_behind = False
        # Until Redis has answered, nobody waits for it.
        self._away = True

    def dispatch(self, now: datetime) -> int:
        """Send what may go at *now*, in the order of `shared.turns`; how many were sent.

        Raises `redis.RedisError` when Redis cannot be reached; then all is as before.
        """
        self.left_behind = False
        waiting, room = self._look(now)
        sendings: list[Sending] = []
        chosen = Chosen()
        own: list[Sending] = []
        if room:
            with db.transaction():
                queue, within = self._lines.queue, self._latest_resend
                sendings = places.unclaimed(queue, now, room, within=within)
                if len(sendings) < room:
                    again_at = stamp(now + self._resend_after)
                    chosen = self._lines.choose(now, room - len(sendings), again_at=again_at)
                own = self._marked([*sendings, *chosen.unsent], now) + chosen.marked
            self._send(own, now)
        self._held_back = chosen.held_back
        # What another dispatch was quicker to mark has filled the room all the same.
        filled = len(sendings) + len(chosen.unsent) + len(chosen.marked)
        self._window.looked(waiting=waiting, full=filled >= room)
        return len(own)

    def next_look(self, interval: timedelta) -> timedelta:
        """When to dispatch again: after *interval*, or sooner where runs were left behind."""
        if self._window.starved:
            return interval / 50
        return interval / 10 if self._window.crowded or self._held_back else interval

    @contextmanager
    def outgoing(self, now: datetime) -> Iterator[Outgoing]:
        """Something to fill in a transaction, which is to be committed within the block.

        It has no room while others wait for theirs. Raises `redis.RedisError` at the end of the
        block if what was taken could not be sent; then it is marked as unsent.
        """
        room = 0
        if not self._away and not self._window.crowded:
            try:
                _, room = self._look(now)
            except redis.RedisError as error:
                logger.warning("runs left to be dispatched: %s", error)
        outgoing = Outgoing(room, now + self._resend_after)
        yield outgoing
        self.left_behind |= outgoing.left_behind
        self._send(outgoing.sendings(), now)

    def at_once(self, run_id: UUID, now: datetime) -> None:
        """Send a run that was just committed, if it may go and others do not wait for their turn.

        Never raises because of Redis: the scheduler sends what this leaves behind.
        """
        try:
            with db.hurried(_HURRY):
                _, room = self._look(now)
                if room and not run_lines.any_since(now - _LEFT_BEHIND_AFTER):
                    with db.transaction():
                        sendings = self._marked(run_lines.only(run_id, now), now)
                    self._send(sendings, now)
        except redis.RedisError as error:
            self._trouble.begins(error)
        else:
            self._trouble.ends()

    def _look(self, now: datetime) -> tuple[int, int]:
        """How many messages wait to be fetched, and how many more may be sent."""
        self._away = True
        waiting = messages.waiting(self._client, self._lines.queue)
        self._away = False
        with db.connection():
            free_threads = processes.free_threads(self._lines.queue, now)
        return waiting, self._window.room(waiting=waiting, free_threads=free_threads)

    def _marked(self, sendings: Iterable[Sending], now: datetime) -> list[Sending]:
        """Mark *sendings* as sent; those that nobody else had marked, claimed or cancelled."""
        by_dispatches: dict[int, list[str]] = defaultdict(list)
        for sending in sendings:
            by_dispatches[sending.dispatches].append(sending.run_id)
        marked: list[Sending] = []
        for dispatches, ids in by_dispatches.items():
            wait = min(self._resend_after * 2 ** min(dispatches, 20), self._latest_resend)
            rows = db.execute(
                _MARK_SENT.format(
                    are_these=db.among("id", "ids"),
                    status=db.unindexed("status"),
                    locking=db.locking("FOR UPDATE SKIP LOCKED"),
                ),
                {"ids": json.dumps(ids), "dispatches": dispatches, "at": stamp(now + wait)},
            ).fetchall()
            own = {db.uuid_hex(id) for (id,) in rows}
            marked += [Sending(id, dispatches) for id in ids if id in own]
        return marked

    def _send(self, sendings: list[Sending], now: datetime) -> None:
        try:
            messages.send(self._client, self._lines.queue, sendings)
        except redis.RedisError:
            self._away = True
            tally.add(Count.FAILED_SENDS, len(sendings))
            with db.transaction():
                _mark_unsent(sendings, now)
            raise
        tally.add(Count.RESENDS, sum(1 for each in sendings if each.dispatches))


# A run that was sent, and is still marked as it was chosen; nobody is waited for.
_MARK_SENT = """
    UPDATE run SET dispatches = dispatches + 1, dispatch_at = :at
    WHERE id IN (
      SELECT id FROM run
      WHERE {are_these} AND {status} = 'QUEUED' AND dispatches = :dispatches {locking}
    ) RETURNING id
"""


def _mark_unsent(sendings: list[Sending], now: datetime) -> None:
    db.execute(
        "UPDATE run SET dispatches = 0, dispatch_at = :now"
        f" WHERE status = 'QUEUED' AND dispatches > 0 AND {db.among('id', 'ids')}",
        {"ids": json.dumps([each.run_id for each in sendings]), "now": stamp(now)},
    )
