"""The moves of batches: paused, resumed, ended before their time; each one guarded UPDATE.

`submission` makes batches, `oversight` ends them, `view` shows them.
What their runs do is counted by the database (`BatchProgress`).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared import db
from shared.batches import item_runs
from shared.batches.models import Batch, BatchProgress
from shared.errors import Conflict, NotFound
from shared.findings import dollars
from shared.states import LIVE_BATCH, BatchReason, BatchStatus

_ACCEPTED = Batch.accepted_at.is_null(False)
_LIVE = Batch.status.in_(list(LIVE_BATCH)) & _ACCEPTED
_GOES_ON = (
    Batch.status.in_([BatchStatus.QUEUED, BatchStatus.RUNNING])
    & Batch.ending_at.is_null()
    & _ACCEPTED
)


def get(batch_id: UUID) -> Batch:
    """The batch. Raises `NotFound`."""
    batch: Batch | None = Batch.get_or_none(Batch.id == batch_id, _ACCEPTED)
    if batch is None:
        raise NotFound("batch", batch_id)
    return batch


def pause(batch_id: UUID, reason: BatchReason, *, now: datetime) -> None:
    """Start nothing more of the batch; what runs may finish. Raises `NotFound` or `Conflict`."""
    with db.transaction():
        paused: int = (
            Batch.update(status=BatchStatus.PAUSED, reason=reason, stalled_since=None)
            .where(Batch.id == batch_id, _GOES_ON)
            .execute()
        )
        if not paused:
            raise _not_to_be("paused", get(batch_id))
        item_runs.take_back(batch_id, now=now)


def resume(batch_id: UUID, *, budget_usd: Decimal | None, now: datetime) -> None:
    """Go on with a batch that pauses, perhaps with another budget.

    Raises `NotFound`, or `Conflict` if it does not pause, or its budget is spent.
    """
    with db.transaction():
        batch = _locked(batch_id)
        if batch.status is not BatchStatus.PAUSED or batch.ending_at is not None:
            raise _not_to_be("resumed", batch)
        budget = budget_usd if budget_usd is not None else batch.budget_usd
        progress = BatchProgress.get_by_id(batch_id)
        spent = spent_usd(progress)
        if budget is not None and spent >= budget:
            raise Conflict(
                f"Batch {batch_id} has cost {dollars(spent)} up to now: resume it with a"
                " `budgetUsd` that is larger than that."
            )
        goes_on = BatchStatus.QUEUED if progress.started_at is None else BatchStatus.RUNNING
        Batch.update(status=goes_on, reason=None, budget_usd=budget, samples=[]).where(
            Batch.id == batch_id
        ).execute()
        # That it stood still while it paused means nothing.
        BatchProgress.update(moved_at=now).where(
            BatchProgress.batch == batch_id, BatchProgress.moved_at < now
        ).execute()


def end(batch_id: UUID, reason: BatchReason, *, now: datetime) -> bool:
    """Have the batch end before its time: nothing more of it starts, what runs is stopped.

    It has ended once all of that has stopped. False: it was ending already, and nothing changed.
    Raises `NotFound`, or `Conflict` if it has ended.
    """
    with db.transaction():
        ending: int = (
            Batch.update(ending_at=now, reason=reason, stalled_since=None)
            .where(Batch.id == batch_id, _LIVE, Batch.ending_at.is_null())
            .execute()
        )
        batch = get(batch_id)
        if not ending and batch.finished_at is not None:
            raise _not_to_be("ended", batch)
        if ending:
            BatchProgress.update(dropped=BatchProgress.total - BatchProgress.taken).where(
                BatchProgress.batch == batch_id
            ).execute()
            item_runs.cancel(batch_id, now=now)
    return ending > 0


def spent_usd(progress: BatchProgress) -> Decimal:
    """What a batch has cost up to now, as far as that is known."""
    return Decimal(progress.agent_micros + progress.compute_micros) / 1_000_000


def queues() -> list[str]:
    """The queues of which a batch has not ended."""
    with db.connection():
        rows = db.execute(
            f"""
            SELECT DISTINCT queue FROM batch {db.indexed_by("batch_live")}
            WHERE finished_at IS NULL AND accepted_at IS NOT NULL ORDER BY queue
            """
        ).fetchall()
    return [queue for (queue,) in rows]


def join(batch_ids: Collection[UUID], worker: str) -> None:
    """Note that *worker* runs items of those batches, and what it runs on."""
    with db.transaction():
        for batch_id in sorted(batch_ids):
            db.execute(
                """
                INSERT INTO batch_worker (batch_id, worker_id, hardware)
                SELECT :batch_id, id, hardware FROM worker
                WHERE id = :worker AND hardware IS NOT NULL
                ON CONFLICT DO NOTHING
                """,
                {"batch_id": batch_id.hex, "worker": worker},
            )


def _locked(batch_id: UUID) -> Batch:
    query = Batch.select().where(Batch.id == batch_id, _ACCEPTED)
    if not db.is_sqlite():
        query = query.for_update("FOR NO KEY UPDATE")  # type: ignore[arg-type] # as in runs
    batch: Batch | None = query.get_or_none()
    if batch is None:
        raise NotFound("batch", batch_id)
    return batch


_SAYS: Mapping[BatchStatus, str] = {
    BatchStatus.QUEUED: "waits to start",
    BatchStatus.RUNNING: "is running",
    BatchStatus.PAUSED: "pauses",
}


def _not_to_be(done: str, batch: Batch) -> Conflict:
    if batch.finished_at is None and batch.ending_at is not None:
        return Conflict(f"Batch {batch.id} cannot be {done}: it is about to end.")
    says = _SAYS.get(batch.status, f"has ended: {batch.status}")
    return Conflict(f"Batch {batch.id} cannot be {done}: it {says}.")
