"""The moves of runs (`shared.states.MOVES`): each is one guarded UPDATE, whose row count is the
answer. `shared.new_runs` makes runs, `shared.history` reads them.
"""

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from peewee import SQL, Case

from shared import db, events, policy
from shared.attempts import Claimed, Held, Lease, Leased, Outcome, failure
from shared.db import stamp
from shared.errors import Conflict, NotFound
from shared.models import Run, RunEvent
from shared.states import (
    ACTIVE,
    CANCELLED,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    ErrorCode,
    RunStatus,
)

# Spelled out, for a planner knows a partial index by its own words only.
_IS_RUNNING = Run.status == SQL("'RUNNING'")


class RunEnded(Conflict):
    """The run has ended, and an ended run never changes."""

    def __init__(self, run_id: UUID, status: RunStatus) -> None:
        super().__init__(f"Run {run_id} has already ended: {status}.")


def get(run_id: UUID) -> Run:
    """The run. Raises `NotFound`."""
    run: Run | None = Run.get_or_none(Run.id == run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run


# The two statements that every run costs. Peewee would take longer to spell them than they take.
_CLAIM = f"""
    UPDATE run SET status = 'RUNNING', attempt = attempt + 1, worker_id = :worker,
      leased_by = :worker, lease_until = :lease_until, started_at = :now
    WHERE id = :id AND status = 'QUEUED' AND dispatches > 0
      AND attempt - uncounted < max_attempts
    RETURNING {", ".join(Claimed._fields)}
"""
_FINISH = """
    UPDATE run SET status = :status, finished_at = :now, leased_by = NULL, lease_until = NULL,
      content = :content, error = :error, model = :model, input_tokens = :input_tokens,
      output_tokens = :output_tokens, cost_usd = :cost_usd,
      metadata = COALESCE(:metadata, metadata)
    WHERE id = :id AND status = 'RUNNING' AND attempt = :attempt
"""


def claim(run_id: UUID, worker: str, *, lease: timedelta, now: datetime) -> Claimed | None:
    """Take a queued run for *worker*. None: it is not to be had, now or ever.

    Only what has been dispatched since it was last queued can be taken, so that a message that
    was delivered late or twice cannot get around what dispatch decides: neither its time, for which
    the clock of this worker does not matter, nor its place.
    """
    row = db.execute(
        _CLAIM,
        {
            "id": run_id.hex,
            "worker": worker,
            "lease_until": stamp(now + lease),
            "now": stamp(now),
        },
    ).fetchone()
    if row is None:
        return None
    claimed = Claimed(*row)
    return claimed._replace(
        id=run_id,
        schedule_id=claimed.schedule_id and db.uuid(claimed.schedule_id),
        scheduled_for=claimed.scheduled_for and db.instant(claimed.scheduled_for),
        config=db.json_value(claimed.config),
    )


def renew(worker: str, run_ids: Collection[UUID], *, until: datetime) -> list[Held]:
    """Prolong the leases of *worker* on those runs, and say which it has."""
    rows = db.execute(
        f"""
        UPDATE run SET lease_until = :until
        WHERE id IN {db.uuids("ids")} AND status = 'RUNNING' AND leased_by = :worker
        RETURNING id, attempt, cancel_requested_at
        """,
        {
            "ids": json.dumps([each.hex for each in run_ids]),
            "worker": worker,
            "until": stamp(until),
        },
    ).fetchall()
    return [Held(Lease(db.uuid(id), attempt), asked is not None) for id, attempt, asked in rows]


def held_by(worker: str) -> list[Held]:
    """The runs that *worker* holds."""
    query = Run.select(Run.id, Run.attempt, Run.cancel_requested_at)
    query = query.where(_IS_RUNNING, Run.leased_by == worker)
    return [Held(Lease(run.id, run.attempt), run.cancel_requested_at is not None) for run in query]


def finish(held: Lease, outcome: Outcome, *, now: datetime) -> bool:
    """End the run that is *held* with *outcome*. False: somebody else had taken it over."""
    cursor = db.execute(
        _FINISH,
        {
            "id": held.run_id.hex,
            "attempt": held.attempt,
            "now": stamp(now),
            "status": outcome.status.value,
            "content": outcome.content,
            "error": outcome.error and json.dumps(outcome.error),
            "model": outcome.model,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "cost_usd": None if outcome.cost_usd is None else str(outcome.cost_usd),
            "metadata": json.dumps(outcome.metadata) if outcome.metadata else None,
        },
    )
    ended: int = cursor.rowcount
    return ended == 1


def retry_later(held: Lease, error: dict[str, str], *, at: datetime, now: datetime) -> bool:
    """Queue the run that is *held* again, for *at*, after a failed attempt that may be retried.

    False: somebody else had taken it over, or it is to be cancelled.
    """
    with db.transaction():
        moved: int = (
            _requeue(at, error=error)
            .where(*_is_held(held), Run.cancel_requested_at.is_null())
            .execute()
        )
        if moved:
            events.append(held.run_id, held.attempt, [("attempt_failed", error)], now=now)
    return moved == 1


def release(held: Lease, *, now: datetime) -> bool:
    """Put the run that is *held* back, its attempt not counted: its worker is being stopped."""
    with db.transaction():
        moved: int = (
            _requeue(now, uncounted=Run.uncounted + 1)
            .where(*_is_held(held), Run.cancel_requested_at.is_null())
            .execute()
        )
        if moved:
            says = {"message": "Its worker was stopped; this attempt does not count."}
            events.append(held.run_id, held.attempt, [("put_back", says)], now=now)
    return moved == 1


def is_lost(held: Lease) -> bool:
    """Whether the run was taken from the owner of that attempt, whose lease ran out."""
    failed = RunEvent.select().where(
        RunEvent.run == held.run_id,
        RunEvent.attempt == held.attempt,
        RunEvent.type == "attempt_failed",
    )
    errors = [event.data for event in failed]
    run: Run | None = Run.get_or_none(Run.id == held.run_id, Run.attempt == held.attempt)
    if run is not None and run.error is not None:
        errors.append(run.error)
    return any(error["code"] == ErrorCode.WORKER_LOST.value for error in errors)


def leases() -> list[Leased]:
    """Every lease that there is."""
    rows = db.execute(
        f"""
        SELECT id, attempt, lease_until FROM run {db.indexed_by("run_leased")}
        WHERE status = 'RUNNING'
        """
    ).fetchall()
    return [Leased(Lease(db.uuid(id), attempt), db.instant(until)) for id, attempt, until in rows]


def reap(lapsed: Collection[Leased], *, now: datetime) -> list[tuple[UUID, RunStatus]]:
    """Take runs from owners that have not renewed those leases; each with what became of it."""
    lost: list[tuple[UUID, RunStatus]] = []
    until = {each.lease: each.until for each in lapsed}
    with db.transaction():
        query = Run.select().where(Run.id.in_([held.run_id for held in until]), _IS_RUNNING)
        if not db.is_sqlite():
            query = query.for_update("FOR UPDATE SKIP LOCKED")  # type: ignore[arg-type] # the stub says bool
        for run in query:
            held = Lease(run.id, run.attempt)
            if until.get(held) != run.lease_until:
                continue  # It was renewed meanwhile, or is somebody else's.
            says = f"The lease of {run.leased_by} on attempt {run.attempt} ran out."
            error = failure(ErrorCode.WORKER_LOST, says)
            if run.cancel_requested_at is not None:
                status, moved = CANCELLED, finish(held, Outcome(status=CANCELLED), now=now)
            elif run.attempt - run.uncounted >= run.max_attempts:
                outcome = Outcome(status=FAILED, error=error)
                status, moved = FAILED, finish(held, outcome, now=now)
            else:
                status, moved = QUEUED, retry_later(held, error, at=now, now=now)
            if moved:
                lost.append((run.id, status))
    return lost


def cancel(run_id: UUID, *, now: datetime) -> None:
    """Cancel a run that has not ended: at once, or as soon as its worker hears of it.

    Raises `NotFound` or `RunEnded`.
    """
    running = Run.status == RUNNING
    cancelled: int = (
        Run.update(
            status=Case(None, [(running, RUNNING.value)], CANCELLED.value),
            finished_at=Case(None, [(running, Run.finished_at)], Run.finished_at.to_value(now)),
            cancel_requested_at=now,
        )
        .where(Run.id == run_id, Run.status.in_(list(ACTIVE)))
        .execute()
    )
    if not cancelled:
        raise RunEnded(run_id, get(run_id).status)


def resume(run_id: UUID, *, now: datetime) -> None:
    """Queue a paused run again, which counts as no attempt.

    Raises `NotFound`, or `Conflict` if it is not paused.
    """
    going_on = _requeue(now, uncounted=Run.uncounted + 1)
    moved: int = going_on.where(Run.id == run_id, Run.status == PAUSED).execute()
    if not moved:
        raise Conflict(f"Run {run_id} is not paused but {get(run_id).status}.")


def hand_back(run_id: UUID, *, now: datetime) -> None:
    """Have a queued run dispatched again at once: its message reached a worker that is stopping."""
    Run.update(dispatches=0, dispatch_at=now).where(
        Run.id == run_id, Run.status == QUEUED, Run.dispatches > 0
    ).execute()


def next_attempt_at(run: Claimed, *, now: datetime) -> datetime | None:
    """When a run whose attempt failed may be tried again. None: its attempts are spent."""
    failures = run.attempt - run.uncounted
    if failures >= run.max_attempts:
        return None
    return now + policy.backoff(timedelta(seconds=run.retry_backoff_seconds), failures)


def previous_success(run: Claimed) -> datetime | None:
    """The last fire time before *run* whose run completed, among the last hundred."""
    if run.schedule_id is None:
        return None
    before = "" if run.scheduled_for is None else "AND scheduled_for < :before"
    (at,) = db.execute(
        f"""
        SELECT MAX(scheduled_for) FROM (
          SELECT scheduled_for, status FROM run
          WHERE schedule_id = :schedule_id AND scheduled_for IS NOT NULL {before}
          ORDER BY scheduled_for DESC LIMIT 100
        ) latest WHERE status = 'COMPLETED'
        """,
        {
            "schedule_id": run.schedule_id.hex,
            **({"before": stamp(run.scheduled_for)} if run.scheduled_for else {}),
        },
    ).fetchone()
    return at and db.instant(at)


def _requeue(at: datetime, **more: Any) -> Any:
    return Run.update(
        status=QUEUED,
        available_at=at,
        dispatch_at=at,
        dispatches=0,
        leased_by=None,
        lease_until=None,
        **more,
    )


def _is_held(held: Lease) -> tuple[Any, ...]:
    return Run.id == held.run_id, _IS_RUNNING, Run.attempt == held.attempt
