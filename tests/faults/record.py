"""What there is to be checked: the database at one instant, and the lines of the outside file.

Read by connections and SQL of the tests' own, so that no fault of the code under test can hide.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

# What reading a database raises while that is away.
AWAY = (sqlite3.OperationalError, psycopg.OperationalError)

ACTIVE = frozenset({"QUEUED", "RUNNING", "PAUSED"})
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "SKIPPED", "MISSED"})

_TABLES = {
    "run": "SELECT * FROM run ORDER BY id",
    "run_event": "SELECT * FROM run_event ORDER BY run_id, seq",
    "schedule": "SELECT * FROM schedule ORDER BY id",
    "agent": "SELECT * FROM agent ORDER BY id",
}
# Where a release has them.
_TABLES_OF_BATCHES = {
    "batch": "SELECT b.*, p.* FROM batch b JOIN batch_progress p ON p.batch_id = b.id",
    "batch_item": "SELECT batch_id, item_index, item_key FROM batch_item",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Snapshot:
    """All rows at one instant. Ids are hexadecimal digits, instants aware, JSON is read."""

    taken_at: datetime
    # It was taken between these two, on the monotonic clock.
    since: float
    until: float
    runs: Mapping[str, Row]
    events: list[Row]
    schedules: Mapping[str, Row]
    agents: Mapping[str, Row]
    batches: Mapping[str, Row]
    items: list[Row]

    def is_quiet(self) -> bool:
        """Whether no run or batch goes on, none is due, and no one-time schedule is to fire."""
        active = any(
            row["status"] in ACTIVE for row in (*self.runs.values(), *self.batches.values())
        )
        return not active and not any(
            schedule["enabled"]
            and schedule["next_run_at"] is not None
            and (schedule["run_at"] is not None or schedule["next_run_at"] <= self.taken_at)
            for schedule in self.schedules.values()
        )

    def __repr__(self) -> str:
        """How many runs of each status there are, and what is still to come."""
        statuses = Counter(run["status"] for run in self.runs.values())
        enabled = [each["next_run_at"] for each in self.schedules.values() if each["enabled"]]
        upcoming = min((at for at in enabled if at is not None), default=None)
        return f"{dict(statuses)}, next {upcoming}, at {self.taken_at}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that an agent of the kind `outside` did."""

    what: str
    run: str
    attempt: int
    agent: str
    at: datetime
    monotonic: float
    pid: int
    host: str
    schedule: str | None = None
    scheduled_for: datetime | None = None
    content: str | None = None


def take(url: str) -> Snapshot:
    """All rows of the database at one instant. Raises one of `AWAY`."""
    taken_at, since = datetime.now(UTC), time.monotonic()
    with _reading(url) as read:
        until = time.monotonic()
        tables = _TABLES | (_TABLES_OF_BATCHES if _has_batches(read, url) else {})
        rows = {table: [_plain(row) for row in read(sql)] for table, sql in tables.items()}
    by_id = {
        table: {row["id"]: row for row in rows[table]}
        for table in rows
        if table not in {"run_event", "batch_item"}
    }
    return Snapshot(
        taken_at=taken_at,
        since=since,
        until=until,
        runs=by_id["run"],
        events=rows["run_event"],
        schedules=by_id["schedule"],
        agents=by_id["agent"],
        batches=by_id.get("batch", {}),
        items=rows.get("batch_item", []),
    )


def _has_batches(read: Any, url: str) -> bool:
    if url.startswith("sqlite"):
        return bool(list(read("SELECT 1 FROM sqlite_master WHERE name = 'batch_progress'")))
    return bool(list(read("SELECT 1 FROM pg_tables WHERE tablename = 'batch_progress'")))


def counts(url: str) -> Counter[str]:
    """What all processes have counted, as far as they have written it down."""
    found: Counter[str] = Counter()
    with _reading(url) as read:
        for row in read("SELECT counts FROM tally"):
            found.update(json.loads(row["counts"]) if url.startswith("sqlite") else row["counts"])
    return found


def can_be_written(url: str) -> bool:
    """Whether nobody holds on to the lock of an SQLite database; of PostgreSQL there is none."""
    if not url.startswith("sqlite"):
        return True
    with closing(sqlite3.connect(urlsplit(url).path[1:], timeout=1)) as file:
        file.isolation_level = None
        try:
            file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


def lines(path: Path) -> list[Line]:
    """What the agents did, in the order in which they wrote it down."""
    if not path.exists():
        return []
    # Where a line crosses a page of the file, its beginning can be seen before its end.
    whole, _, _ = path.read_text().rpartition("\n")
    return [_line(json.loads(text)) for text in whole.splitlines()]


@contextmanager
def _reading(url: str) -> Iterator[Any]:
    """Something that reads rows of one and the same instant."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(urlsplit(url).path[1:], timeout=30)) as file:
            file.isolation_level = None
            file.row_factory = sqlite3.Row
            file.execute("BEGIN")
            # Only the first read fixes the instant.
            file.execute("SELECT 1 FROM run").fetchone()
            yield lambda sql: map(dict, file.execute(sql).fetchall())
    else:
        with psycopg.connect(url, row_factory=dict_row, options="-c timezone=UTC") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT 1 FROM run").fetchone()
            yield lambda sql: connection.execute(sql).fetchall()


def _plain(row: Row) -> Row:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith(("_at", "_for", "_until")) or name == "at":
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    if name in {"error", "data", "config", "metadata"} and isinstance(value, str):
        return json.loads(value) if value.startswith("{") else value
    return value.hex if isinstance(value, UUID) else value


def _line(told: Row) -> Line:
    return Line(
        what=told["what"],
        run=told["run"].replace("-", ""),
        attempt=told["attempt"],
        agent=told["agent"],
        at=datetime.fromisoformat(told["at"]),
        monotonic=told["monotonic"],
        pid=told["pid"],
        host=told["host"],
        schedule=told["schedule"] and told["schedule"].replace("-", ""),
        scheduled_for=told["scheduledFor"] and datetime.fromisoformat(told["scheduledFor"]),
        content=told.get("content"),
    )
