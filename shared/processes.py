"""The processes that have been seen: workers and schedulers, and when they last gave a sign."""

import os
import secrets
import socket
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, NamedTuple

from peewee import fn

from shared import db
from shared.messages import RUNS_QUEUE
from shared.models import Scheduler, Worker

VERSION = version("agent-manager")
_REMEMBERED = timedelta(days=7)
_MILLISECOND = timedelta(milliseconds=1)
# For workers of the release before, which do not say until when they are to be taken for alive.
_SEEN_WITHIN = timedelta(seconds=60)
_ALIVE = """stopped_at IS NULL
  AND (alive_until > :now OR alive_until IS NULL AND heartbeat_at > :seen_after)"""


class Alive(NamedTuple):
    """How many of a worker's threads are alive: those that execute runs, those that fetch them."""

    threads: int
    consumers: int


class LiveWorker(NamedTuple):
    """A worker that is alive: what it began with, and what of that is alive."""

    id: str
    began_with: Alive
    alive: Alive
    queues: tuple[str, ...] = (RUNS_QUEUE,)


def new_id() -> str:
    """A name for this process that no other ever has: host, pid and chance."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"


def worker_started(
    id: str,
    *,
    threads: int,
    queues: list[str],
    until: datetime,
    now: datetime,
    compute_id: str | None = None,
    hardware: dict[str, Any] | None = None,
) -> None:
    """Enter a worker into the table, if it is not there, and take out those not seen for a week.

    *until* then it is taken for alive, should it not be heard of again.
    """
    with db.transaction():
        Worker.delete().where(Worker.heartbeat_at < now - _REMEMBERED).execute()
        Worker.insert(
            id=id,
            host=socket.gethostname(),
            pid=os.getpid(),
            threads=threads,
            queues=queues,
            compute_id=compute_id,
            hardware=hardware,
            version=VERSION,
            started_at=now,
            heartbeat_at=now,
            alive_until=until,
        ).on_conflict_ignore().execute()


def worker_seen(id: str, *, alive: Alive, until: datetime, now: datetime) -> None:
    """Note that a worker is alive, what of it, and until when it is taken for alive."""
    with db.connection():
        Worker.update(
            heartbeat_at=now,
            alive_until=until,
            threads_alive=alive.threads,
            consumers_alive=alive.consumers,
        ).where(Worker.id == id).execute()


def worker_stopped(id: str, *, now: datetime) -> None:
    """Note that a worker has ended as it should."""
    with db.connection():
        Worker.update(stopped_at=now).where(Worker.id == id).execute()


def live_workers(now: datetime) -> list[LiveWorker]:
    """The workers that are alive, as far as anybody can know."""
    rows = db.execute(
        "SELECT id, threads, queues, threads_alive, consumers_alive"
        f" FROM worker WHERE {_ALIVE} ORDER BY id",
        _at(now),
    ).fetchall()
    found = []
    for id, threads, queues, threads_alive, consumers_alive in rows:
        began_with = Alive(threads, len(db.json_value(queues)))
        # Before the first heartbeat, and in the release before, it does not say.
        unsaid = threads_alive is None
        alive = began_with if unsaid else Alive(threads_alive, consumers_alive)
        found.append(LiveWorker(id, began_with, alive, tuple(db.json_value(queues))))
    return found


def crews(now: datetime) -> dict[str, tuple[int, int]]:
    """Of each queue that has live workers: how many, and how many runs they can hold."""
    found: dict[str, tuple[int, int]] = {}
    for worker in live_workers(now):
        for queue in worker.queues:
            workers, threads = found.get(queue, (0, 0))
            found[queue] = workers + 1, threads + worker.alive.threads
    return found


def free_threads(queue: str, now: datetime) -> int:
    """How many more runs the live workers of *queue* could hold; less than none, if some died."""
    (free,) = db.execute(
        f"""
        SELECT (
          SELECT COALESCE(SUM(COALESCE(threads_alive, threads)), 0)
          FROM worker WHERE {_ALIVE} AND {db.holds("queues", "queue")}
        ) - (
          SELECT COUNT(*) FROM run {db.indexed_by("run_leased")}
          WHERE status = 'RUNNING' AND queue = :queue
        )
        """,
        {**_at(now), "queue": queue},
    ).fetchone()
    return int(free)


def _at(now: datetime) -> dict[str, str]:
    return {"now": db.stamp(now), "seen_after": db.stamp(now - _SEEN_WITHIN)}


def scheduler_started(id: str, *, now: datetime) -> None:
    """Enter a scheduler into the table, if it is not there; take out those not seen for a week."""
    with db.transaction():
        seen_lately = Scheduler.last_tick_at >= now - _REMEMBERED
        Scheduler.delete().where(
            Scheduler.started_at < now - _REMEMBERED, ~fn.COALESCE(seen_lately, False)
        ).execute()
        Scheduler.insert(
            id=id, host=socket.gethostname(), pid=os.getpid(), version=VERSION, started_at=now
        ).on_conflict_ignore().execute()


def scheduler_ticked(id: str, *, took: timedelta, lag: timedelta, now: datetime) -> None:
    """Note a scheduler's ticks since it last did: how long the slowest took, how late one was.

    `scheduler.tick` says what *lag* is.
    """
    with db.connection():
        Scheduler.update(
            last_tick_at=now,
            last_tick_ms=round(took / _MILLISECOND),
            last_tick_lag_ms=round(lag / _MILLISECOND),
        ).where(Scheduler.id == id).execute()


def scheduler_stopped(id: str, *, now: datetime) -> None:
    """Note that a scheduler has ended as it should."""
    with db.connection():
        Scheduler.update(stopped_at=now).where(Scheduler.id == id).execute()
