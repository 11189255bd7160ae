"""What batches need beside the moves of their items, seen to by schedulers every second: they are
ended, stopped at their deadline or budget, found to stand still, and their pace is measured.

Each is a guarded UPDATE, so any number of schedulers may do it at once; who does it tells whoever
wants notice, in the same transaction.
"""

import json
import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from shared import db, ids, new_runs
from shared.batches import item_runs, moves, pace, submission, view
from shared.batches.models import Batch
from shared.db import stamp
from shared.errors import Conflict
from shared.states import BatchReason, BatchStatus, Trigger

logger = logging.getLogger(__name__)

# So many batches are looked at in one go; the next go looks at those behind them.
_MOST = 1000
# With the usual waits in between, somebody who is away for four hours still gets to know.
_NOTICE_ATTEMPTS, _NOTICE_PRIORITY = 10, 9

_LIVE = """
    SELECT b.id, b.status, b.reason, b.ending_at, b.deadline, b.stalled_since, b.samples,
      b.budget_usd IS NOT NULL AND p.agent_micros + p.compute_micros >= b.budget_usd * 1000000,
      p.total, p.total - p.taken - p.dropped, p.queued, p.running, p.paused, p.completed,
      p.failed, p.cancelled + p.dropped, p.moved_at, (
        SELECT MIN(available_at) FROM run {by_item}
        WHERE run.status = 'QUEUED' AND run.batch_id = b.id AND run.batch_id IS NOT NULL
      )
    FROM batch b {by_live} JOIN batch_progress p ON p.batch_id = b.id
    WHERE b.finished_at IS NULL AND b.accepted_at IS NOT NULL AND b.id > :after
    ORDER BY b.id LIMIT :most
"""


class Seen(NamedTuple):
    """A batch that has not ended, as it was seen."""

    id: UUID
    status: BatchStatus
    reason: BatchReason | None
    ending_at: datetime | None
    deadline: datetime | None
    stalled_since: datetime | None
    samples: list[pace.Sample]
    budget_spent: bool
    total: int
    fresh: int
    queued: int
    running: int
    paused: int
    completed: int
    failed: int
    cancelled: int
    moved_at: datetime
    #: When the first of its queued runs could have been started, or can be.
    available_at: datetime | None

    @property
    def ended(self) -> int:
        """How many of its items have."""
        return self.completed + self.failed + self.cancelled

    def outcome(self) -> tuple[BatchStatus, BatchReason | None]:
        """What it ends as, now that all of its items have ended."""
        if self.reason is BatchReason.CANCELLED_BY_REQUEST and self.cancelled:
            return BatchStatus.CANCELLED, self.reason
        if self.reason is BatchReason.DEADLINE_PASSED and self.cancelled:
            return BatchStatus.FAILED, self.reason
        if not self.completed and self.failed:
            return BatchStatus.FAILED, BatchReason.ALL_FAILED
        return BatchStatus.COMPLETED, None

    def stands_still(self, now: datetime, after: timedelta) -> bool:
        """Whether items could run for so long by now, and none of them has."""
        could_go = self.fresh or (
            self.available_at is not None and self.available_at <= now - after
        )
        goes_on = self.status is not BatchStatus.PAUSED and self.ending_at is None
        return bool(goes_on and could_go and not self.running and self.moved_at <= now - after)


class Overseer:
    """Sees to all batches; *stall_after* is how long one may stand still before that is said."""

    def __init__(self, stall_after: timedelta) -> None:
        self._stall_after = stall_after
        self._after = ids.FIRST_HEX

    def attend(self, now: datetime) -> None:
        """Do what is to be done at *now*. One that cannot be seen to keeps no other from it."""
        failed: Exception | None = None
        live = _live(self._after)
        self._after = live[-1].id.hex if len(live) == _MOST else ids.FIRST_HEX
        for batch in live:
            try:
                self._see_to(batch, now)
            except Exception as error:
                if isinstance(error, db.UNREACHABLE):
                    raise
                logger.exception("batch %s cannot be seen to", batch.id)
                failed = error
        submission.discard_abandoned(now)
        if failed is not None:
            raise failed

    def _see_to(self, batch: Seen, now: datetime) -> None:
        if batch.ended == batch.total:
            _end(batch, now)
            return
        if batch.ending_at is not None:
            runs_left = batch.queued + batch.running + batch.paused
            if runs_left:
                with db.transaction():
                    item_runs.cancel(batch.id, now=now)
            return
        if batch.deadline is not None and batch.deadline <= now:
            moves.end(batch.id, BatchReason.DEADLINE_PASSED, now=now)
            logger.warning("batch %s is stopped: its deadline has passed", batch.id)
        elif batch.status is BatchStatus.PAUSED:
            if batch.queued:
                with db.transaction():
                    item_runs.take_back(batch.id, now=now)
        elif batch.budget_spent:
            _pause(batch, now)
        else:
            self._look_at_its_pace(batch, now)

    def _look_at_its_pace(self, batch: Seen, now: datetime) -> None:
        stalled = batch.stands_still(now, self._stall_after)
        if stalled and batch.stalled_since is None:
            _stall(batch, now)
        elif batch.stalled_since is not None and not stalled:
            with db.transaction():
                Batch.update(stalled_since=None).where(Batch.id == batch.id).execute()
            logger.info("batch %s goes on", batch.id)
        samples = pace.sampled(batch.samples, batch.ended, now)
        if samples is not None:
            with db.transaction():
                Batch.update(samples=samples, sampled_at=now).where(
                    Batch.id == batch.id, Batch.status != BatchStatus.PAUSED
                ).execute()


def _live(after: str) -> list[Seen]:
    sql = _LIVE.format(
        by_item=db.indexed_by("run_item_queued"), by_live=db.indexed_by("batch_live")
    )
    with db.connection():
        rows = db.execute(sql, {"after": after, "most": _MOST}).fetchall()
    return [_seen(row) for row in rows]


def _seen(row: tuple[Any, ...]) -> Seen:
    seen = Seen(*row)
    return seen._replace(
        id=db.uuid(seen.id),
        status=BatchStatus(seen.status),
        reason=seen.reason and BatchReason(seen.reason),
        ending_at=seen.ending_at and db.instant(seen.ending_at),
        deadline=seen.deadline and db.instant(seen.deadline),
        stalled_since=seen.stalled_since and db.instant(seen.stalled_since),
        samples=[(at, ended) for at, ended in db.json_value(seen.samples)],
        moved_at=db.instant(seen.moved_at),
        available_at=seen.available_at and db.instant(seen.available_at),
    )


def _end(batch: Seen, now: datetime) -> None:
    status, reason = batch.outcome()
    finished_at = max(batch.moved_at, batch.ending_at or batch.moved_at)
    edits = {"status": status, "reason": reason, "finished_at": finished_at, "stalled_since": None}
    with db.transaction():
        ended = _edit(batch.id, edits, Batch.finished_at.is_null())
        if ended:
            _give_notice(batch.id, "batch.ended", now)
    if ended:
        logger.info("batch %s has ended: %s", batch.id, status)


def _pause(batch: Seen, now: datetime) -> None:
    with db.transaction():
        paused = _edit(
            batch.id,
            {"status": BatchStatus.PAUSED, "reason": BatchReason.BUDGET_SPENT},
            Batch.status.in_([BatchStatus.QUEUED, BatchStatus.RUNNING]),
            Batch.ending_at.is_null(),
        )
        if paused:
            item_runs.take_back(batch.id, now=now)
            _give_notice(batch.id, "batch.budget_spent", now)
    if paused:
        logger.warning("batch %s pauses: its budget is spent", batch.id)


def _stall(batch: Seen, now: datetime) -> None:
    with db.transaction():
        stalled = _edit(
            batch.id,
            {"stalled_since": batch.moved_at},
            Batch.stalled_since.is_null(),
            Batch.status.in_([BatchStatus.QUEUED, BatchStatus.RUNNING]),
        )
        if stalled:
            _give_notice(batch.id, "batch.stalled", now)
    if stalled:
        since = stamp(batch.moved_at)
        logger.warning("batch %s stands still: nothing has started since %s", batch.id, since)


def _edit(batch_id: UUID, edits: dict[str, Any], *guards: Any) -> bool:
    """Make *edits* of a batch that passes *guards*. False: somebody else was quicker."""
    edited: int = Batch.update(**edits).where(Batch.id == batch_id, *guards).execute()
    return edited == 1


def _give_notice(batch_id: UUID, event: str, now: datetime) -> None:
    """Have the agent that the batch names run, with what happened for its message."""
    agent_id = moves.get(batch_id).notify_agent_id
    if agent_id is None:
        return
    try:
        new_runs.background(
            agent_id,
            message=json.dumps({"event": event, "batch": view.get(batch_id, now=now)}),
            metadata={"event": event, "batchId": str(batch_id)},
            session_id=None,
            timeout_seconds=None,
            max_attempts=_NOTICE_ATTEMPTS,
            priority=_NOTICE_PRIORITY,
            key=None,
            now=now,
            trigger=Trigger.NOTICE,
        )
    except Conflict as error:
        logger.warning("batch %s: no notice of %s is given: %s", batch_id, event, error)
