"""The moves of runs (`shared.states.MOVES`): each is one guarded UPDATE, whose row count is the
answer. `shared.new_runs` makes runs, `shared.history` reads them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import SQL, Case, fn

from shared import checks, db, events, policy
from shared.attempts import NOTHING, Claimed, Lease, Outcome, Usage, failure
from shared.budgets import ledger
from shared.db import stamp
from shared.errors import Conflict, NotFound
from shared.events import Event
from shared.messages import RUNS_QUEUE
from shared.models import Run
from shared.states import (
    ACTIVE,
    CANCELLED,
    PAUSED,
    QUEUED,
    RUNNING,
    ApprovalPolicy,
    ErrorCode,
    RunStatus,
    SessionPolicy,
    Trigger,
)

# Spelled out, for a planner knows a partial index by its own words only.
IS_RUNNING = Run.status == SQL("'RUNNING'")


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


# The statements that every run costs. Peewee would take longer to spell them than they take.
_CLAIM = """
    UPDATE run SET status = 'RUNNING', attempt = attempt + 1, worker_id = :worker,
      leased_by = :worker, lease_until = :lease_until, started_at = :now
    WHERE {is_one} AND {status} = 'QUEUED' AND queue = :queue AND dispatches > 0
      AND attempt - uncounted < max_attempts {may_start}
    RETURNING {columns}, CASE WHEN schedule_id IS NOT NULL THEN ({previous_success}) END, {price}
"""
# Nothing of a batch starts while that pauses, once it is to end, or when its budget is spent.
_MAY_START = """
      AND EXISTS (
        SELECT 1 FROM batch b JOIN batch_progress p ON p.batch_id = b.id
        WHERE b.id = run.batch_id AND b.status IN ('QUEUED', 'RUNNING') AND b.ending_at IS NULL
          AND (b.budget_usd IS NULL
            OR p.agent_micros + p.compute_micros < b.budget_usd * 1000000)
      )
"""
_PRICE = "(SELECT b.price_per_hour FROM batch b WHERE b.id = run.batch_id)"
# The last fire time before a run whose run completed, among the last hundred.
_PREVIOUS_SUCCESS = """
    SELECT MAX(scheduled_for) FROM (
      SELECT before.scheduled_for, before.status FROM run before
      WHERE before.schedule_id = run.schedule_id
        AND before.scheduled_for < COALESCE(run.scheduled_for, :never)
      ORDER BY before.scheduled_for DESC LIMIT 100
    ) latest WHERE status = 'COMPLETED'
"""
# What its attempts have used up, all together.
_USAGE = {each.name: "numeric" if each.name.endswith("_usd") else "int" for each in fields(Usage)}
_USED = ", ".join(
    f"{name} = COALESCE(run.{name} + d.{name}, d.{name}, run.{name})" for name in _USAGE
)
_FINISH = """
    WITH {outcomes}
    UPDATE run SET status = d.status, finished_at = :now, leased_by = NULL, lease_until = NULL,
      content = d.content, error = d.error, model = COALESCE(d.model, run.model), {used},
      metadata = COALESCE(d.metadata, run.metadata)
    FROM d
    WHERE run.id = d.id AND {status} = 'RUNNING' AND run.attempt = d.attempt
    RETURNING run.id, run.attempt
"""
_OUTCOME = {
    "id": "uuid",
    "attempt": "int",
    "status": "text",
    "content": "text",
    "error": "json",
    "model": "text",
    **_USAGE,
    "metadata": "json",
}
_NEVER = stamp(datetime.max.replace(tzinfo=UTC))


def claim(
    run_ids: Collection[UUID],
    worker: str,
    *,
    lease: timedelta,
    now: datetime,
    queue: str = RUNS_QUEUE,
) -> list[Claimed]:
    """Take runs for *worker* of *queue*: those of *run_ids* that are to be had.

    The others never are.

    Only what has been dispatched since it was last queued can be taken, so that a message that
    was delivered late or twice cannot get around what dispatch decides: neither its time, for which
    the clock of this worker does not matter, nor its place.
    """
    *columns, _, _ = Claimed._fields
    of_batches = queue != RUNS_QUEUE
    rows = db.execute(
        _CLAIM.format(
            is_one=db.among("run.id", "ids"),
            status=db.unindexed("run.status"),
            columns=", ".join(columns),
            previous_success=_PREVIOUS_SUCCESS,
            may_start=_MAY_START if of_batches else "",
            price=_PRICE if of_batches else "NULL",
        ),
        {
            "ids": db.hexes(run_ids),
            "queue": queue,
            "worker": worker,
            "lease_until": stamp(now + lease),
            "now": stamp(now),
            "never": _NEVER,
        },
    ).fetchall()
    return [_claimed(Claimed(*row)) for row in rows]


def _claimed(row: Claimed) -> Claimed:
    config = db.json_value(row.config)
    if row.kind == checks.KIND:
        row, config = row._replace(kind=config["kind"]), config["config"]
    return row._replace(
        id=db.uuid(row.id),
        schedule_id=row.schedule_id and db.uuid(row.schedule_id),
        scheduled_for=row.scheduled_for and db.instant(row.scheduled_for),
        session_id=db.uuid(row.session_id),
        session_policy=SessionPolicy(row.session_policy),
        approval_policy=ApprovalPolicy(row.approval_policy),
        config=config,
        batch_id=row.batch_id and db.uuid(row.batch_id),
        trigger=Trigger(row.trigger),
        previous_success=row.previous_success and db.instant(row.previous_success),
        price_per_hour=None if row.price_per_hour is None else Decimal(str(row.price_per_hour)),
    )


def finish(outcomes: Mapping[Lease, Outcome], *, now: datetime) -> set[Lease]:
    """End the runs that are held, each with its outcome.

    Gives those leases that held; the runs of the others somebody else had taken over.
    """
    sql, values = db.values("d", _OUTCOME, [_outcome(*each) for each in outcomes.items()])
    rows = db.execute(
        _FINISH.format(outcomes=sql, status=db.unindexed("run.status"), used=_USED),
        {**values, "now": stamp(now)},
    ).fetchall()
    return {Lease(db.uuid(id), attempt) for id, attempt in rows}


def _outcome(held: Lease, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": held.run_id.hex,
        "attempt": held.attempt,
        "status": outcome.status.value,
        "content": outcome.content,
        "error": outcome.error and json.dumps(outcome.error),
        "model": outcome.model,
        **{name: _bound(getattr(outcome.usage, name)) for name in _USAGE},
        "metadata": json.dumps(outcome.metadata) if outcome.metadata else None,
    }


def _bound(amount: int | Decimal | None) -> int | str | None:
    return str(amount) if isinstance(amount, Decimal) else amount


def retry_later(
    held: Lease,
    error: dict[str, str],
    *,
    at: datetime,
    now: datetime,
    usage: Usage = NOTHING,
    model: str | None = None,
) -> bool:
    """Queue the run that is *held* again, for *at*, after a failed attempt that may be retried.

    *usage* is what the attempt used up, of that *model*.

    False: somebody else had taken it over, or it is to be cancelled.
    """
    with db.transaction():
        moved: int = (
            _requeue(at, error=error, **_with(usage, model))
            .where(*_is_held(held), Run.cancel_requested_at.is_null())
            .execute()
        )
        if moved:
            events.append(held.run_id, held.attempt, [Event(now, "attempt_failed", error)])
    return moved == 1


def release(
    held: Lease, *, now: datetime, usage: Usage = NOTHING, model: str | None = None
) -> bool:
    """Put the run that is *held* back, its attempt not counted: its worker is being stopped.

    *usage* is what the attempt used up, of that *model*.
    """
    with db.transaction():
        moved: int = (
            _requeue(now, uncounted=Run.uncounted + 1, **_with(usage, model))
            .where(*_is_held(held), Run.cancel_requested_at.is_null())
            .execute()
        )
        if moved:
            says = {"message": "Its worker was stopped; this attempt does not count."}
            events.append(held.run_id, held.attempt, [Event(now, "put_back", says)])
    return moved == 1


def pause(
    held: Lease,
    asks: Sequence[Mapping[str, Any]],
    *,
    wait: timedelta | None,
    now: datetime,
    usage: Usage = NOTHING,
    model: str | None = None,
) -> bool:
    """Have the run that is *held* wait for a person to answer what it *asks*, for so long at most.

    False: somebody else had taken it over, or it is to be cancelled.
    """
    with db.transaction():
        moved: int = (
            Run.update(
                status=PAUSED,
                leased_by=None,
                lease_until=None,
                asks=list(asks),
                answers=None,
                answer_by=None if wait is None else now + wait,
                **_with(usage, model),
            )
            .where(*_is_held(held), Run.cancel_requested_at.is_null())
            .execute()
        )
        if moved:
            asked = Event(now, "approval_asked", {"asks": list(asks)})
            events.append(held.run_id, held.attempt, [asked])
    return moved == 1


def expire(now: datetime) -> list[UUID]:
    """Fail the paused runs that nobody has answered in time; which."""
    says = "Nobody answered in time what its agent asked."
    rows = db.execute(
        f"""
        UPDATE run SET status = 'FAILED', finished_at = :now, error = {db.json_bound("error")},
          asks = NULL, answer_by = NULL
        WHERE status = 'PAUSED' AND answer_by <= :now
        RETURNING id
        """,
        {"now": stamp(now), "error": json.dumps(failure(ErrorCode.APPROVAL_EXPIRED, says))},
    ).fetchall()
    return [db.uuid(id) for (id,) in rows]


def cancel(run_id: UUID, *, now: datetime) -> None:
    """Cancel a run that has not ended: at once, or as soon as its worker hears of it.

    Raises `NotFound` or `RunEnded`.
    """
    cancelled: int = cancelling(now).where(Run.id == run_id, Run.status.in_(list(ACTIVE))).execute()
    if not cancelled:
        raise RunEnded(run_id, get(run_id).status)


def cancelling(now: datetime) -> Any:
    """The UPDATE that cancels; whoever uses it says which runs, of those that have not ended."""
    running = Run.status == RUNNING
    # Who started it may have looked at the clock later, and been quicker to write.
    at = Case(None, [(Run.started_at > now, Run.started_at)], Run.finished_at.to_value(now))
    return Run.update(
        status=Case(None, [(running, RUNNING.value)], CANCELLED.value),
        finished_at=Case(None, [(running, Run.finished_at)], at),
        cancel_requested_at=at,
        asks=None,
        answer_by=None,
    )


def resume(run_id: UUID, answers: Mapping[str, Any] | None = None, *, now: datetime) -> None:
    """Queue a paused run again, with *answers* to what it asked; it counts as no attempt.

    One that waits for money goes on although its budgets have no room. Raises `NotFound`, or
    `Conflict` if it is not paused.
    """
    # What waits for money has not been started yet.
    fresh = Run.attempt == 0
    going_on = _requeue(
        now,
        uncounted=Case(None, [(fresh, Run.uncounted)], Run.uncounted + 1),
        error=Case(None, [(fresh, None)], Run.error),
        asks=None,
        answers=answers,
        answer_by=None,
    )
    with db.transaction():
        moved: int = going_on.where(Run.id == run_id, Run.status == PAUSED).execute()
        run = get(run_id)
        if not moved:
            raise Conflict(f"Run {run_id} is not paused but {run.status}.")
        book = ledger.opened([(run.agent_id, run.schedule_id)], now=now)
        if book is not None and run.attempt == 0:
            ledger.hold(run_id, book.reserve(run.agent_id, run.schedule_id))


def hand_back(run_ids: Collection[UUID], *, now: datetime) -> None:
    """Have queued runs dispatched again at once: they were sent to a worker that is stopping."""
    Run.update(dispatches=0, dispatch_at=now).where(
        Run.id.in_(list(run_ids)), Run.status == QUEUED, Run.dispatches > 0
    ).execute()


def next_attempt_at(run: Claimed, *, now: datetime) -> datetime | None:
    """When a run whose attempt failed may be tried again. None: its attempts are spent."""
    failures = run.attempt - run.uncounted
    if failures >= run.max_attempts:
        return None
    return now + policy.backoff(timedelta(seconds=run.retry_backoff_seconds), failures)


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


def _with(usage: Usage, model: str | None) -> dict[str, Any]:
    """What a run has used up, with *usage* added to it, and of which *model*, if that is known."""
    sums = {
        name: fn.COALESCE(getattr(Run, name), 0) + amount for name, amount in usage.known().items()
    }
    return sums if model is None else {**sums, "model": model}


def _is_held(held: Lease) -> tuple[Any, ...]:
    return Run.id == held.run_id, IS_RUNNING, Run.attempt == held.attempt
