"""The processes that have been seen: workers and schedulers, and when they last gave a sign."""

import os
import secrets
import socket
from datetime import datetime, timedelta
from importlib.metadata import version

from peewee import fn

from shared import db
from shared.models import Scheduler, Worker

VERSION = version("agent-manager")
_REMEMBERED = timedelta(days=7)


def new_id() -> str:
    """A name for this process that no other ever has: host, pid and chance."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"


def worker_started(id: str, *, threads: int, queues: list[str], now: datetime) -> None:
    """Enter a worker into the table, and take out those not seen for a week."""
    with db.transaction():
        Worker.delete().where(Worker.heartbeat_at < now - _REMEMBERED).execute()
        Worker.create(
            id=id,
            host=socket.gethostname(),
            pid=os.getpid(),
            threads=threads,
            queues=queues,
            version=VERSION,
            started_at=now,
            heartbeat_at=now,
        )


def worker_seen(id: str, *, now: datetime) -> None:
    """Note that a worker is alive."""
    with db.connection():
        Worker.update(heartbeat_at=now).where(Worker.id == id).execute()


def worker_stopped(id: str, *, now: datetime) -> None:
    """Note that a worker has ended as it should."""
    with db.connection():
        Worker.update(stopped_at=now).where(Worker.id == id).execute()


def scheduler_started(id: str, *, now: datetime) -> None:
    """Enter a scheduler into the table, and take out those not seen for a week."""
    with db.transaction():
        seen_lately = Scheduler.last_tick_at >= now - _REMEMBERED
        Scheduler.delete().where(
            Scheduler.started_at < now - _REMEMBERED, ~fn.COALESCE(seen_lately, False)
        ).execute()
        Scheduler.create(
            id=id, host=socket.gethostname(), pid=os.getpid(), version=VERSION, started_at=now
        )


def scheduler_ticked(id: str, *, took_ms: int, now: datetime) -> None:
    """Note a scheduler's tick."""
    with db.connection():
        Scheduler.update(last_tick_at=now, last_tick_ms=took_ms).where(Scheduler.id == id).execute()


def scheduler_stopped(id: str, *, now: datetime) -> None:
    """Note that a scheduler has ended as it should."""
    with db.connection():
        Scheduler.update(stopped_at=now).where(Scheduler.id == id).execute()
