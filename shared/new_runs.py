"""The making of runs: each a snapshot of what its schedule and agent say at that moment.

Every maker is one INSERT … SELECT, so that what is copied is never read before it is written. The
unique keys of the table decide who was first. Where there are budgets, a run is admitted by a
ledger in the transaction that makes it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared import checks, db, runs
from shared.attempts import failure
from shared.budgets import ledger
from shared.errors import Conflict, NotFound
from shared.idempotency import IdempotencyKey
from shared.ids import uuid7
from shared.models import Agent, Run, Schedule
from shared.states import (
    ENDED,
    MISSED,
    PAUSED,
    QUEUED,
    ApprovalPolicy,
    ErrorCode,
    RunStatus,
    Trigger,
    WhenSpent,
)

_RETURNING = "ON CONFLICT DO NOTHING RETURNING agent_id, schedule_id"

# Column of `run` → the expression that fills it.
_ALWAYS = {
    "id": ":id",
    "trigger": ":trigger",
    "queue": "'runs'",
    "queued_at": ":now",
    "available_at": ":now",
    "dispatch_at": ":now",
    "status": "'QUEUED'",
    "metadata": ":metadata",
    "dispatches": "0",
    "attempt": "0",
    "uncounted": "0",
    "idempotency_key": ":key",
    "request_hash": ":request_hash",
}
# A session that all runs of a schedule share has the id of the schedule.
_SESSION = "CASE WHEN s.session_policy = 'SHARED' THEN s.id ELSE {own} END"
# What of a schedule a run is told as it is.
_COPIED = (
    *("max_attempts", "retry_backoff_seconds", "priority"),
    *("session_policy", "approval_policy", "approval_wait_seconds"),
)
_OF_SCHEDULE = {
    "session_id": _SESSION.format(own=":id"),
    "schedule_id": "s.id",
    "agent_id": "s.agent_id",
    "kind": "a.kind",
    "config": "a.config",
    "message": "s.message",
    "timeout_seconds": "COALESCE(s.timeout_seconds, a.timeout_seconds)",
    **{name: f"s.{name}" for name in _COPIED},
}
_OF_RUN = {
    name: f"r.{name}"
    for name in (
        *("session_id", "schedule_id", "agent_id", "kind", "config", "message", "metadata"),
        *("timeout_seconds", *_COPIED),
    )
}
_DUE = {
    "id": "uuid",
    "schedule_id": "uuid",
    "status": "text",
    "scheduled_for": "utc",
    "available_at": "utc",
    "missed_until": "utc",
    "missed_count": "int",
    "finished_at": "utc",
    "error": "json",
    # Of a run that is marked as sent from the start.
    "dispatches": "int",
    "dispatch_at": "utc",
    # Of one that budgets cover.
    "reserved": "json",
}


class Made(NamedTuple):
    """A run that was made, or had been before with the same key, and whether it pauses."""

    id: UUID
    status: RunStatus


class BudgetExceeded(Conflict):
    """A budget that covers the run has no room for it."""


def for_fire_times(rows: list[dict[str, Any]], *, now: datetime) -> None:
    """Record fire times of schedules: each row has the keys of `_DUE`, as far as it needs them.

    Those that are recorded already stay as they are.
    """
    needed = set().union(*rows)
    due = {name: kind for name, kind in _DUE.items() if name in needed}
    columns = {
        **_ALWAYS,
        **_OF_SCHEDULE,
        **{name: f"d.{name}" for name in due},
        "schedule_id": "s.id",
        "session_id": _SESSION.format(own="d.id"),
        "dispatches": "COALESCE(d.dispatches, 0)" if "dispatches" in due else "0",
        "dispatch_at": (
            "COALESCE(d.dispatch_at, d.available_at)" if "dispatch_at" in due else "d.available_at"
        ),
        "trigger": "'SCHEDULE'",
        "metadata": "'{}'",
    }
    for absent in ("idempotency_key", "request_hash"):
        del columns[absent]
    source = f"""
        {db.rows("rows", due)} d
        JOIN schedule s ON s.id = d.schedule_id JOIN agent a ON a.id = s.agent_id
        WHERE true ON CONFLICT DO NOTHING {"RETURNING id" if "reserved" in due else ""}
    """
    made = db.execute(insert(columns, source), {"rows": json.dumps(rows), "now": db.stamp(now)})
    if "reserved" in due:
        ids = {db.uuid_hex(id) for (id,) in made.fetchall()}
        ledger.count(row["reserved"] for row in rows if row["id"] in ids and row.get("reserved"))


def trigger(
    schedule_id: UUID,
    *,
    message: str | None,
    metadata: Mapping[str, Any],
    key: IdempotencyKey | None,
    now: datetime,
) -> Made:
    """Make a run of a schedule now, whatever its fire times.

    *message* and *metadata* override what the schedule says. The same *key* gives the same run.
    Raises `NotFound`; `Conflict` if the agent is disabled or a budget spent; `Invalid` on a key of
    another request.
    """
    columns = {**_ALWAYS, **_OF_SCHEDULE}
    values: dict[str, Any] = {"schedule_id": schedule_id.hex}
    if message is not None:
        columns["message"] = ":message"
        values["message"] = message
    source = f"""
        schedule s JOIN agent a ON a.id = s.agent_id
        WHERE s.id = :schedule_id AND s.deleted_at IS NULL AND a.enabled
        {db.locking("FOR NO KEY UPDATE OF s FOR SHARE OF a")} {_RETURNING}
    """
    with db.transaction():
        made, is_new = _make(columns, source, values, Trigger.MANUAL, metadata, key, now)
        if made is None:
            raise _no_run_of_schedule(schedule_id)
        if is_new:
            Schedule.update(last_run_id=made.id).where(Schedule.id == schedule_id).execute()
    return made


def background(
    agent_id: str,
    *,
    message: str,
    metadata: Mapping[str, Any],
    session_id: UUID | None,
    timeout_seconds: int | None,
    max_attempts: int,
    priority: int,
    approval_policy: ApprovalPolicy = ApprovalPolicy.WAIT,
    approval_wait_seconds: int | None = None,
    key: IdempotencyKey | None,
    now: datetime,
    trigger: Trigger = Trigger.API,
) -> Made:
    """Make a run of an agent without a schedule.

    The same *key* gives the same run. Raises `NotFound`; `Conflict` if the agent is disabled or a
    budget spent; `Invalid` on a key of another request.
    """
    columns = {
        **_ALWAYS,
        "session_id": ":session_id",
        "agent_id": "a.id",
        "kind": "a.kind",
        "config": "a.config",
        "message": ":message",
        "timeout_seconds": "a.timeout_seconds" if timeout_seconds is None else ":timeout_seconds",
        "max_attempts": ":max_attempts",
        "retry_backoff_seconds": "30",
        "priority": ":priority",
        "approval_policy": ":approval_policy",
    }
    if approval_wait_seconds is not None:
        columns["approval_wait_seconds"] = ":approval_wait_seconds"
    values = {
        "agent_id": agent_id,
        "message": message,
        "max_attempts": max_attempts,
        "priority": priority,
        "approval_policy": approval_policy.value,
        "approval_wait_seconds": approval_wait_seconds,
        "timeout_seconds": timeout_seconds,
        "session_id": session_id and session_id.hex,
    }
    source = f"""
        agent a WHERE a.id = :agent_id AND a.deleted_at IS NULL AND a.enabled
        {db.locking("FOR SHARE")} {_RETURNING}
    """
    with db.transaction():
        made, _ = _make(columns, source, values, trigger, metadata, key, now)
        if made is None:
            raise _no_run_of_agent(agent_id)
    return made


def check(agent_id: str, *, key: IdempotencyKey | None, now: datetime) -> Made:
    """Make a check of an agent as it is now, which may be disabled; no budget covers it.

    The same *key* gives the same run. Raises `NotFound`, or `Invalid` on a key of another request.
    """
    columns = {
        **_ALWAYS,
        "session_id": ":id",
        "agent_id": "a.id",
        "agent_version": "a.version",
        "kind": f"'{checks.KIND}'",
        "config": checks.SUBJECT.sqlite if db.is_sqlite() else checks.SUBJECT.postgres,
        "message": "''",
        "timeout_seconds": str(checks.SECONDS),
        "max_attempts": "1",
        "retry_backoff_seconds": "0",
        "priority": str(checks.PRIORITY),
    }
    source = f"""
        agent a WHERE a.id = :agent_id AND a.deleted_at IS NULL
        {db.locking("FOR SHARE")} {_RETURNING}
    """
    with db.transaction():
        made, _ = _make(columns, source, {"agent_id": agent_id}, Trigger.CHECK, {}, key, now)
        if made is None:
            raise NotFound("agent", agent_id)
    return made


def check_anew(agent_id: str, *, now: datetime) -> UUID:
    """Make a check of an agent that was saved, instead of those that wait still."""
    with db.transaction():
        runs.cancelling(now).where(
            Run.agent_id == agent_id, Run.status == QUEUED, Run.trigger == Trigger.CHECK
        ).execute()
        return check(agent_id, key=None, now=now).id


def retry(run_id: UUID, *, key: IdempotencyKey | None, now: datetime) -> Made:
    """Make a new run with the orders of one that has ended.

    The same *key* gives the same run. Raises `NotFound`; `Conflict` if the run has not ended or
    was never one, or a budget is spent; `Invalid` on a key of another request.
    """
    columns = {**_ALWAYS, **_OF_RUN, "retry_of": "r.id"}
    source = f"""
        run r JOIN agent a ON a.id = r.agent_id
        WHERE r.id = :run_id AND r.status IN ({", ".join(f"'{each}'" for each in _RETRIED)})
          AND r.trigger <> 'CHECK' AND a.deleted_at IS NULL AND a.enabled
        {db.locking("FOR SHARE OF a")} {_RETURNING}
    """
    with db.transaction():
        new, _ = _make(columns, source, {"run_id": run_id.hex}, Trigger.RETRY, {}, key, now)
        if new is None:
            run: Run | None = Run.get_or_none(Run.id == run_id)
            if run is None:
                raise NotFound("run", run_id)
            if run.trigger is Trigger.CHECK:
                raise Conflict(f"Run {run_id} is a check; check agent {run.agent_id} again.")
            if run.status in _RETRIED:
                raise _no_run_of_agent(run.agent_id)
            raise Conflict(f"Run {run_id} is {run.status}; only a run that has ended is retried.")
    return new


_RETRIED = sorted(ENDED - {MISSED})


def _make(
    columns: Mapping[str, str],
    source: str,
    values: dict[str, Any],
    trigger: Trigger,
    metadata: Mapping[str, Any],
    key: IdempotencyKey | None,
    now: datetime,
) -> tuple[Made | None, bool]:
    """Insert one run, or find that first made with *key*; and whether it is new.

    None: there is nothing to make it of. Raises `BudgetExceeded`.
    """
    run_id = uuid7(now)
    cursor = db.execute(
        insert(columns, source),
        {
            "session_id": run_id.hex,
            **{name: value for name, value in values.items() if value is not None},
            "id": run_id.hex,
            "trigger": trigger.value,
            "metadata": json.dumps(metadata),
            "key": key and key.key,
            "request_hash": key and key.request_hash,
            "now": db.stamp(now),
        },
    )
    made = cursor.fetchone()
    if made is not None and trigger is Trigger.CHECK:
        return Made(run_id, QUEUED), True
    if made is not None:
        agent_id, schedule_id = made
        return Made(run_id, _admit(run_id, agent_id, schedule_id, now)), True
    if key is None:
        return None, False
    first: Run | None = Run.get_or_none(Run.idempotency_key == key.key)
    if first is None:
        return None, False
    key.check(first.request_hash)
    return Made(first.id, PAUSED if first.status is PAUSED else QUEUED), False


def _admit(run_id: UUID, agent_id: str, schedule_id: UUID | str | None, now: datetime) -> RunStatus:
    """Have a run that was just made go, or pause for want of money. Raises `BudgetExceeded`."""
    book = ledger.opened([(agent_id, schedule_id)], now=now)
    if book is None:
        return QUEUED
    refusal = book.refusal(agent_id, schedule_id)
    if refusal is None:
        ledger.hold(run_id, book.reserve(agent_id, schedule_id))
        return QUEUED
    if refusal.when_spent is WhenSpent.SKIP:
        raise BudgetExceeded(refusal.says)
    error = failure(ErrorCode.BUDGET_EXCEEDED, refusal.says)
    Run.update(status=PAUSED, error=error).where(Run.id == run_id).execute()
    return PAUSED


def insert(columns: Mapping[str, str], source: str) -> str:
    """The INSERT … SELECT that fills *columns* of runs by expressions on *source*."""
    return (
        f"INSERT INTO run ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}"
    )


def _no_run_of_schedule(schedule_id: UUID) -> Exception:
    schedule = Schedule.get_or_none(Schedule.id == schedule_id, Schedule.deleted_at.is_null())
    if schedule is None:
        return NotFound("schedule", schedule_id)
    return _no_run_of_agent(schedule.agent_id)


def _no_run_of_agent(agent_id: str) -> Exception:
    if not Agent.select().where(Agent.id == agent_id, Agent.deleted_at.is_null()).exists():
        return NotFound("agent", agent_id)
    return Conflict(f"Agent {agent_id} is disabled; enable it first.")
