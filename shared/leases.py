"""Leases of runs, by which one worker at a time works on a run: prolonged, shown, taken away."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from shared import checks, conversations, db, runs
from shared.attempts import NOTHING, Held, Lease, Leased, Outcome, failure
from shared.db import stamp
from shared.models import Run, RunEvent
from shared.states import CANCELLED, FAILED, QUEUED, ErrorCode, RunStatus, Trigger


def renew(worker: str, run_ids: Collection[UUID], *, until: datetime) -> set[Lease]:
    """Prolong the leases of *worker* on those runs; the leases that were.

    One that somebody is just changing is left as it is: no other has to wait for that.
    """
    rows = db.execute(
        f"""
        UPDATE run SET lease_until = :until
        WHERE id IN (
          SELECT id FROM run
          WHERE {db.among("id", "ids")} AND status = 'RUNNING' AND leased_by = :worker
          {db.locking("FOR NO KEY UPDATE SKIP LOCKED")}
        )
        RETURNING id, attempt
        """,
        {"ids": db.hexes(run_ids), "worker": worker, "until": stamp(until)},
    ).fetchall()
    return {Lease(db.uuid(id), attempt) for id, attempt in rows}


def held_by(worker: str) -> list[Held]:
    """The runs that *worker* holds."""
    query = Run.select(Run.id, Run.attempt, Run.cancel_requested_at)
    query = query.where(runs.IS_RUNNING, Run.leased_by == worker)
    return [Held(Lease(run.id, run.attempt), run.cancel_requested_at is not None) for run in query]


def held() -> list[Leased]:
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
    ends: dict[Lease, Outcome] = {}
    checking: set[Lease] = set()
    with db.transaction():
        query = Run.select().where(Run.id.in_([held.run_id for held in until]), runs.IS_RUNNING)
        if not db.is_sqlite():
            query = query.for_update("FOR UPDATE SKIP LOCKED")  # type: ignore[arg-type] # the stub says bool
        found = list(query)
        used_up = conversations.used_by(until.keys()) if found else {}
        for run in found:
            held = Lease(run.id, run.attempt)
            if until.get(held) != run.lease_until:
                continue  # It was renewed meanwhile, or is somebody else's.
            says = f"The lease of {run.leased_by} on attempt {run.attempt} ran out."
            error = failure(ErrorCode.WORKER_LOST, says)
            used = used_up.get(held, NOTHING)
            if run.cancel_requested_at is not None:
                ends[held] = Outcome(status=CANCELLED, usage=used)
            elif run.attempt - run.uncounted >= run.max_attempts:
                ends[held] = Outcome(status=FAILED, error=error, usage=used)
                if run.trigger is Trigger.CHECK:
                    checking.add(held)
            elif runs.retry_later(held, error, at=now, now=now, usage=used):
                lost.append((run.id, QUEUED))
        # All at once, so that whoever ends runs locks their budgets in one order.
        ended = runs.finish(ends, now=now) if ends else ()
        lost += [(held.run_id, ends[held].status) for held in ended]
    # By themselves, as where workers end them (`worker.recorder`).
    for held in checking.intersection(ended):
        with db.transaction():
            checks.record(held.run_id, ends[held], now=now)
    return lost


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
