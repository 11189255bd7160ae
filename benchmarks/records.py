"""What the records of runs say of how long everything took; to be called in a fresh process."""

import time
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared import db
from shared.db import stamp

_LOOK_EVERY_SECONDS = 1.0


class Ran(NamedTuple):
    """Runs: how many of them are over, and between which instants."""

    ended: int
    first_start: datetime | None
    last_finish: datetime | None


class Start(NamedTuple):
    """A run's instant, the tick that saw it, and the start of its agent."""

    scheduled_for: datetime
    queued_at: datetime
    started_at: datetime


def workers(database_url: str) -> int:
    """How many workers have entered themselves."""
    ((count,),) = _rows(database_url, "SELECT count(*) FROM worker")
    return int(count)


def until_ended(database_url: str, count: int, since: datetime, patience_seconds: float) -> Ran:
    """Wait until *count* of the runs that were queued *since* are over; what became of them.

    Looks seldom, and from one process, for looking costs what is to be measured.
    """
    deadline = time.monotonic() + patience_seconds
    while (ran := _ran(database_url, since)).ended < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {patience_seconds:.0f} s, of {count} runs: {ran}")
        time.sleep(_LOOK_EVERY_SECONDS)
    return ran


def until_gone(database_url: str, since: datetime, patience_seconds: float) -> None:
    """Wait until none is left of the runs that were queued at *since*."""
    deadline = time.monotonic() + patience_seconds
    sql = "SELECT count(*) FROM run WHERE queued_at = :since"
    while left := _rows(database_url, sql, since=stamp(since))[0][0]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {patience_seconds:.0f} s there are still {left} runs.")
        time.sleep(_LOOK_EVERY_SECONDS)


def size(database_url: str) -> int:
    """How many bytes the database takes on its disk; of SQLite the file, with all that is in it."""
    if not database_url.startswith("sqlite:"):
        ((size,),) = _rows(database_url, "SELECT pg_database_size(current_database())")
        return int(size)
    _rows(database_url, "PRAGMA wal_checkpoint(TRUNCATE)")
    ((pages, bytes_each),) = _rows(
        database_url, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"
    )
    return int(pages) * int(bytes_each)


def starts(database_url: str, since: datetime) -> list[Start]:
    """The starts of the runs of schedules that were queued *since*."""
    rows = _rows(
        database_url,
        "SELECT scheduled_for, queued_at, started_at FROM run"
        " WHERE queued_at >= :since AND scheduled_for IS NOT NULL",
        since=stamp(since),
    )
    return [Start(*map(db.instant, row)) for row in rows]


def last_start(database_url: str, since: datetime) -> datetime:
    """When the last of the runs that were queued *since* was started."""
    ((at,),) = _rows(
        database_url,
        "SELECT max(started_at) FROM run WHERE queued_at >= :since",
        since=stamp(since),
    )
    return db.instant(at)


def started(database_url: str, attempt: int) -> dict[UUID, datetime]:
    """The runs that are at that *attempt*, and when it began."""
    rows = _rows(
        database_url,
        "SELECT id, started_at FROM run WHERE attempt = :attempt AND started_at IS NOT NULL",
        attempt=attempt,
    )
    return {db.uuid(id): db.instant(at) for id, at in rows}


def held(database_url: str) -> dict[UUID, int]:
    """The runs that are running, and the pid of the worker that holds each."""
    rows = _rows(database_url, "SELECT r.id, w.pid FROM run r JOIN worker w ON w.id = r.leased_by")
    return {db.uuid(id): int(pid) for id, pid in rows}


def connections(database_url: str) -> int:
    """How many connections there are to the database, which is PostgreSQL, beside this one."""
    ((count,),) = _rows(
        database_url,
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    return int(count)


def _ran(database_url: str, since: datetime) -> Ran:
    ((ended, *instants),) = _rows(
        database_url,
        "SELECT count(finished_at), min(started_at), max(finished_at) FROM run"
        " WHERE queued_at >= :since",
        since=stamp(since),
    )
    first_start, last_finish = (each and db.instant(each) for each in instants)
    return Ran(ended, first_start, last_finish)


def _rows(database_url: str, sql: str, **values: Any) -> list[Any]:
    if db.proxy.obj is None:
        db.connect(database_url)
    with db.connection():
        rows: list[Any] = db.execute(sql, values).fetchall()
    return rows
