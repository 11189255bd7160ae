"""Rows to measure with, made by the thousand; to be called in a fresh process."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared import agents, clock, db, due, tokens
from shared.db import stamp
from shared.ids import uuid7_hex
from shared.migrations import migrate
from shared.states import Role

# A Monday, on which all of these are due in all of these zones.
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EXPRESSIONS = ("* * * * *", "*/5 * * * *", "0 * * * *", "0 7-13 * * MON-FRI", "0 7,12,13 * * *")
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
PAIRS = [(expression, zone) for expression in EXPRESSIONS for zone in ZONES]

AGENT = "finance_agent"
_AT_ONCE = 10_000

_SCHEDULE = {
    "id": "uuid",
    "agent_id": "text",
    "name": "text",
    "cron_expression": "text",
    "run_at": "utc",
    "timezone": "text",
    "next_run_at": "utc",
}
_ANY_SCHEDULE = {
    "message": "'Generate a summary of today''s sales data'",
    "enabled": "TRUE",
    "overlap_policy": "'SKIP'",
    "catch_up_policy": "'LATEST'",
    "catch_up_window_seconds": "3600",
    "jitter_seconds": "0",
    "max_attempts": "3",
    "retry_backoff_seconds": "30",
    "priority": "5",
    "tags": """'["sales"]'""",
    "description": "'At 12:00'",
    "version": "1",
    "created_at": ":now",
    "updated_at": ":now",
}
_RUN = {"id": "uuid", "kind": "text", "config": "json"}
_ANY_RUN = {
    "session_id": "d.id",
    "agent_id": f"'{AGENT}'",
    "trigger": "'API'",
    "status": "'QUEUED'",
    "message": "'Generate a summary of today''s sales data'",
    "metadata": "'{}'",
    "timeout_seconds": "600",
    "max_attempts": "3",
    "retry_backoff_seconds": "30",
    "priority": "5",
    "queue": "'runs'",
    "queued_at": ":now",
    "available_at": ":now",
    "dispatch_at": ":now",
    "dispatches": "0",
    "attempt": "0",
    "uncounted": "0",
}

_ENDED_RUN = {
    "status": "'COMPLETED'",
    "content": "'Sales were fine.'",
    "attempt": "1",
    "started_at": ":now",
    "finished_at": ":now",
}


def empty(database_url: str) -> None:
    """Make the tables, and the sample agents."""
    migrate(db.connect(database_url))
    agents.seed(now=clock.now())


def due_schedules(database_url: str, count: int) -> None:
    """Make *count* schedules that are due at noon, of every pair of expression and zone."""
    empty(database_url)
    pairs = (PAIRS[number % len(PAIRS)] for number in range(count))
    _schedules(
        {
            "agent_id": AGENT,
            "cron_expression": expression,
            "timezone": zone,
            "next_run_at": stamp(NOON),
        }
        for expression, zone in pairs
    )


def one_time_schedules(database_url: str, instants: list[datetime], agent_id: str = AGENT) -> None:
    """Make a one-time schedule for each of *instants*."""
    db.connect(database_url)
    once = {"agent_id": agent_id, "timezone": "UTC"}
    _schedules({**once, "run_at": at, "next_run_at": at} for at in map(stamp, instants))


def queued_runs(database_url: str, count: int, delay_seconds: float = 0) -> None:
    """Queue *count* runs that take so long, all in one transaction."""
    _runs(database_url, count, {"kind": "echo", "config": {"delaySeconds": delay_seconds}})


def ended_runs(database_url: str, count: int, at: datetime) -> None:
    """Make *count* runs that have ended *at* that instant, all in one transaction."""
    db.connect(database_url)
    row = {"kind": "echo", "config": {}}
    with db.transaction():
        _insert("run", _RUN, _ANY_RUN | _ENDED_RUN, [row] * count, at)


def http_runs(database_url: str, count: int, service_url: str) -> None:
    """Queue *count* runs that ask a service, all in one transaction."""
    config = {"url": service_url, "method": "POST", "headers": {}}
    _runs(database_url, count, {"kind": "http", "config": config})


def due_now(database_url: str, count: int) -> None:
    """Make *count* one-time schedules that are due."""
    one_time_schedules(database_url, [clock.now()] * count)


def idle_schedules(database_url: str, count: int) -> tuple[str, list[str]]:
    """Make *count* schedules that are not due for a year; a token of an operator, and their ids."""
    one_time_schedules(database_url, [clock.now() + timedelta(days=365)] * count)
    with db.transaction():
        return _operator(), _schedule_ids()


def schedules_with_history(database_url: str, count: int) -> tuple[str, list[str]]:
    """Make *count* schedules that have each run once; a token of an operator, and their ids."""
    due_schedules(database_url, count)
    with db.transaction():
        while due.settle(NOON, limit=1000):
            pass
        db.execute(
            "UPDATE run SET status = 'COMPLETED', content = 'Sales were fine.', attempt = 1,"
            " started_at = :now, finished_at = :now",
            {"now": stamp(NOON)},
        )
        token, ids = _operator(), _schedule_ids()
    if not db.is_sqlite():
        db.proxy.connection().autocommit = True
        db.execute("VACUUM ANALYZE")
    return token, ids


def operator(database_url: str) -> str:
    """A token of an operator."""
    db.connect(database_url)
    with db.transaction():
        return _operator()


def _operator() -> str:
    _, token = tokens.create("benchmark", Role.OPERATOR, now=clock.now())
    return token


def _schedule_ids() -> list[str]:
    rows = db.execute("SELECT id FROM schedule").fetchall()
    return [str(UUID(db.uuid_hex(id))) for (id,) in rows]


def _runs(database_url: str, count: int, row: dict[str, Any]) -> None:
    db.connect(database_url)
    with db.transaction():
        _insert("run", _RUN, _ANY_RUN, [row] * count, clock.now())


def _schedules(rows: Iterable[dict[str, Any]]) -> None:
    names = ({"name": f"Daily Sales Summary {number}"} | row for number, row in enumerate(rows))
    with db.transaction():
        _insert("schedule", _SCHEDULE, _ANY_SCHEDULE, list(names), clock.now())


def _insert(
    table: str,
    columns: dict[str, str],
    constants: dict[str, str],
    rows: list[dict[str, Any]],
    now: datetime,
) -> None:
    sql = (
        f"INSERT INTO {table} ({', '.join([*columns, *constants])})"
        f" SELECT {', '.join([*(f'd.{name}' for name in columns), *constants.values()])}"
        f" FROM {db.rows('rows', columns)} d"
    )
    for start in range(0, len(rows), _AT_ONCE):
        some = [{"id": uuid7_hex(now), **row} for row in rows[start : start + _AT_ONCE]]
        db.execute(sql, {"rows": json.dumps(some), "now": stamp(now)})
