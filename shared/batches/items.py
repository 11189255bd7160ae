"""The items of a batch, each with what became of it: paged through, or read from end to end."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from shared import db, listing
from shared.batches.models import BatchItem, BatchProgress
from shared.batches.submission import Item
from shared.listing import Listing
from shared.models import Run
from shared.pages import Page, Paging, Row
from shared.states import RunStatus

# Each can be as long as the limit of an output.
_READ_AT_ONCE = 50
_ITEMS_AT_ONCE = 500

# An item that has not become a run waits for that, unless it was dropped.
_STATUS = """CASE WHEN r.id IS NOT NULL THEN r.status
  WHEN p.dropped > 0 AND i.item_index >= p.taken THEN 'CANCELLED' ELSE 'QUEUED' END"""

ITEMS = Listing(
    table="""batch_item i JOIN batch_progress p ON p.batch_id = i.batch_id
      LEFT JOIN run r ON r.batch_id = i.batch_id AND r.item_index = i.item_index""",
    key="i.item_index",
    columns={
        "index": "i.item_index",
        "key": "i.item_key",
        "status": _STATUS,
        "run_id": listing.text("r.id"),
        "message": "i.message",
        "metadata": listing.text("i.metadata"),
        **listing.read(Run, "r", "content", "error"),
        "attempt": "COALESCE(r.attempt, 0)",
        **listing.read(Run, "r", "cost_usd", "compute_usd", "started_at", "finished_at"),
    },
    filters={
        "batch_id": "i.batch_id = :batch_id",
        "status": listing.one_of(f"({_STATUS})", "status"),
        "after": "i.item_index > :after",
        "ended": """(r.finished_at IS NOT NULL
          OR r.id IS NULL AND p.dropped > 0 AND i.item_index >= p.taken) AND :ended""",
    },
    newest_first=False,
)


def page(batch_id: UUID, statuses: Sequence[str] | None, paging: Paging) -> Page:
    """The items of the batch, in order, of all *statuses* or of those."""
    filters = {"batch_id": batch_id} | ({} if statuses is None else {"status": statuses})
    if not BatchItem.select().where(BatchItem.batch == batch_id).exists():
        return Page([], paging.number, paging.size, total=0)  # They were pruned.
    total = sum(_counted(batch_id, set(RunStatus) if statuses is None else set(statuses)))
    return ITEMS.page(filters, paging, total=total)


def ended(batch_id: UUID) -> Iterator[list[Row]]:
    """The items that have ended, in order, some at a time; no connection is kept in between."""
    after = -1
    while rows := _read(batch_id, after):
        yield rows
        after = rows[-1][0]


def failed(batch_id: UUID) -> Iterator[Item]:
    """The items that failed, in order, as they were submitted; no connection is kept meanwhile."""
    after = -1
    while rows := _failed(batch_id, after):
        for _, key, message, metadata in rows:
            yield Item(key, message, db.json_value(metadata))
        after = rows[-1][0]


def _read(batch_id: UUID, after: int) -> list[Row]:
    filters = {"batch_id": batch_id, "after": after, "ended": True}
    with db.connection():
        # It is the place in the batch that is counted from, so there is always a first page.
        return ITEMS.page(filters, Paging(size=_READ_AT_ONCE), total=0).rows


def _failed(batch_id: UUID, after: int) -> list[tuple[Any, ...]]:
    with db.connection():
        rows: list[tuple[Any, ...]] = db.execute(
            """
            SELECT i.item_index, i.item_key, i.message, i.metadata
            FROM batch_item i JOIN run r ON r.batch_id = i.batch_id AND r.item_index = i.item_index
            WHERE i.batch_id = :batch_id AND i.item_index > :after AND r.status = 'FAILED'
            ORDER BY i.item_index LIMIT :limit
            """,
            {"batch_id": batch_id.hex, "after": after, "limit": _ITEMS_AT_ONCE},
        ).fetchall()
    return rows


def _counted(batch_id: UUID, statuses: set[str]) -> Iterator[int]:
    progress = BatchProgress.get_by_id(batch_id)
    fresh = progress.total - progress.taken - progress.dropped
    counts = {
        RunStatus.QUEUED: progress.queued + fresh,
        RunStatus.RUNNING: progress.running,
        RunStatus.PAUSED: progress.paused,
        RunStatus.COMPLETED: progress.completed,
        RunStatus.FAILED: progress.failed,
        RunStatus.CANCELLED: progress.cancelled + progress.dropped,
    }
    return (number for status, number in counts.items() if status in statuses)
