"""The runs that items of batches become: made, cancelled and taken back, many at a time."""

import json
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import db, new_runs, runs
from shared.db import stamp
from shared.models import Run
from shared.states import ACTIVE

_CANCELLED_AT_ONCE = 500

_ITEM = {"id": "uuid", "batch_id": "uuid", "item_index": "int"}
_OF_ITEM = {
    **{name: f"d.{name}" for name in _ITEM},
    **{name: f"i.{name}" for name in ("message", "metadata")},
    **{
        name: f"b.{name}"
        for name in (
            *("agent_id", "kind", "config", "timeout_seconds", "max_attempts"),
            *("retry_backoff_seconds", "priority", "approval_policy", "approval_wait_seconds"),
            "queue",
        )
    },
    "session_id": "d.id",
    "trigger": "'BATCH'",
    "status": "'QUEUED'",
    "queued_at": "b.accepted_at",
    "available_at": "b.accepted_at",
    "dispatch_at": ":again_at",
    "dispatches": "1",
    "attempt": "0",
    "uncounted": "0",
}


def make(rows: list[dict[str, Any]], *, again_at: str) -> None:
    """Make runs of items of batches, marked as sent: each row has the keys of `_ITEM`.

    To be called in the transaction that has locked the batches, whose first items these are.
    """
    source = f"""
        {db.rows("rows", _ITEM)} d JOIN batch b ON b.id = d.batch_id
        JOIN batch_item i ON i.batch_id = d.batch_id AND i.item_index = d.item_index
    """
    db.execute(new_runs.insert(_OF_ITEM, source), {"rows": json.dumps(rows), "again_at": again_at})
    for batch_id, count in Counter(row["batch_id"] for row in rows).items():
        db.execute(
            "UPDATE batch_progress SET taken = taken + :count, queued = queued + :count"
            " WHERE batch_id = :batch_id",
            {"count": count, "batch_id": batch_id},
        )


def cancel(batch_id: UUID, *, now: datetime) -> int:
    """Cancel what of a batch has become runs that have not ended; how many that were.

    Nobody is waited for: what somebody is just moving is left to the next call.
    """
    rows = db.execute(
        f"""
        SELECT id FROM run {db.indexed_by("run_active")}
        WHERE schedule_id IS NULL AND finished_at IS NULL AND batch_id = :batch_id
          AND cancel_requested_at IS NULL
        {db.locking("FOR UPDATE SKIP LOCKED")}
        """,
        {"batch_id": batch_id.hex},
    ).fetchall()
    ids = [db.uuid(id) for (id,) in rows]
    for start in range(0, len(ids), _CANCELLED_AT_ONCE):
        some = ids[start : start + _CANCELLED_AT_ONCE]
        runs.cancelling(now).where(Run.id.in_(some), Run.status.in_(list(ACTIVE))).execute()
    return len(ids)


def take_back(batch_id: UUID, *, now: datetime) -> None:
    """Have runs of a batch that were sent and not claimed wait to be sent again."""
    db.execute(
        f"""
        UPDATE run SET dispatches = 0, dispatch_at = :now
        WHERE id IN (
          SELECT id FROM run {db.indexed_by("run_item_queued")}
          WHERE status = 'QUEUED' AND batch_id = :batch_id AND batch_id IS NOT NULL
            AND dispatches > 0
          {db.locking("FOR UPDATE SKIP LOCKED")}
        )
        """,
        {"batch_id": batch_id.hex, "now": stamp(now)},
    )
