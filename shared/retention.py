"""How long runs are kept: those that ended long ago are deleted, and their events with them.

They are found by their place in an index, from the oldest on, so that what a step costs does not
depend on how much there is.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared import db, ids
from shared.db import stamp

# What ended later stays in any case: a repeated request, or a fire time that comes again when a
# clock is set back, is recognised by the row that it made.
KEPT_ANYWAY = timedelta(days=1)

# One step deletes so many. Even if each had the largest content, that is soon done.
_DELETED_AT_ONCE = 25
_READ_AT_ONCE = 500
# A batch keeps what became of its items as long as those may count for anything.
_BATCH_ENDED = """(batch_id IS NULL OR EXISTS (
  SELECT 1 FROM batch b WHERE b.id = batch_id AND b.finished_at < :before
))"""


def prune(*, days: int, now: datetime) -> Iterator[int]:
    """Delete what need not be kept at *now*, step by step; how many runs went with each step.

    Runs that ended more than *days* ago go (0: none of them), sessions that were silent for so
    long, and of a schedule with `keep_last` all runs but so many. Each step is a short transaction,
    and nobody has to take all of them.
    """
    if days:
        before = now - timedelta(days=days)
        yield from _items(before)
        yield from _too_old(before)
        yield from _silent(before)
    yield from _forgotten()
    yield from _too_many(now - KEPT_ANYWAY)


def _items(before: datetime) -> Iterator[int]:
    """Delete the items of batches that ended before *before*; the batches stay."""
    sql = """
        DELETE FROM batch_item WHERE batch_id = :batch_id AND item_index IN (
          SELECT item_index FROM batch_item WHERE batch_id = :batch_id
          ORDER BY item_index LIMIT :limit
        )
    """
    ended = _rows(
        """
        SELECT id FROM batch WHERE finished_at < :before
          AND EXISTS (SELECT 1 FROM batch_item i WHERE i.batch_id = batch.id)
        """,
        {"before": stamp(before)},
    )
    for (batch_id,) in ended:
        values = {"batch_id": db.uuid_hex(batch_id), "limit": _DELETED_AT_ONCE}
        while _executed(sql, values):
            yield 0


def _too_old(before: datetime) -> Iterator[int]:
    """Delete the runs that ended before *before*."""
    yield from _among("run WHERE TRUE", {}, ids.least_hex(before), before)


def _silent(before: datetime) -> Iterator[int]:
    """Delete the sessions in which nothing was said since *before*."""
    sql = """
        DELETE FROM session WHERE id IN (
          SELECT id FROM session WHERE updated_at < :before LIMIT :limit
        )
    """
    values = {"before": stamp(before), "limit": _DELETED_AT_ONCE}
    while _executed(sql, values):
        yield 0


def _forgotten() -> Iterator[int]:
    """Delete what ended runs have kept whose owners could not do so."""
    sql = """
        DELETE FROM run_state WHERE run_id IN (
          SELECT s.run_id FROM run_state s JOIN run r ON r.id = s.run_id
          WHERE r.finished_at IS NOT NULL LIMIT :limit
        )
    """
    while _executed(sql, {"limit": _DELETED_AT_ONCE}):
        yield 0


def _executed(sql: str, values: dict[str, Any]) -> int:
    """Execute *sql*; how many rows it deleted."""
    with db.transaction():
        deleted: int = db.execute(sql, values).rowcount
    return deleted


def _too_many(before: datetime) -> Iterator[int]:
    """Delete the runs beyond their schedule's `keep_last` that ended before *before*."""
    after = ids.FIRST_HEX
    while schedules := _rows(
        "SELECT id, keep_last FROM schedule WHERE id > :after ORDER BY id LIMIT :limit",
        {"after": after, "limit": _READ_AT_ONCE},
    ):
        for schedule_id, keep_last in schedules:
            if keep_last is not None:
                yield from _beyond(db.uuid_hex(schedule_id), keep_last, before)
                yield 0
        yield 0
        after = db.uuid_hex(schedules[-1][0])


def _beyond(schedule_id: str, keep_last: int, before: datetime) -> Iterator[int]:
    of_schedule = f"run {db.indexed_by('run_of_schedule')} WHERE schedule_id = :schedule_id"
    values = {"schedule_id": schedule_id}
    first_kept = _rows(
        f"""
        SELECT id FROM {of_schedule} AND finished_at IS NOT NULL
        ORDER BY id DESC LIMIT 1 OFFSET :newer
        """,
        {**values, "newer": keep_last - 1},
    )
    if first_kept:
        end = min(db.uuid_hex(first_kept[0][0]), ids.least_hex(before))
        yield from _among(of_schedule, values, end, before)


def _among(candidates: str, values: dict[str, Any], end: str, before: datetime) -> Iterator[int]:
    """Delete those *candidates* up to the id *end* that ended before *before*."""
    after = ids.FIRST_HEX
    while window := _rows(
        f"""
        SELECT id, finished_at < :before FROM {candidates} AND id > :after AND id < :end
        ORDER BY id LIMIT :limit
        """,
        {**values, "before": stamp(before), "after": after, "end": end, "limit": _READ_AT_ONCE},
    ):
        ended = [db.uuid_hex(id) for id, has_ended in window if has_ended]
        for start in range(0, len(ended), _DELETED_AT_ONCE):
            yield _delete(ended[start : start + _DELETED_AT_ONCE], before)
        yield 0
        after = db.uuid_hex(window[-1][0])


def _delete(run_ids: Sequence[str], before: datetime) -> int:
    with db.transaction():
        cursor = db.execute(
            f"""
            DELETE FROM run WHERE id IN (
              SELECT id FROM run WHERE {db.among("id", "ids")} AND finished_at < :before
                AND {_BATCH_ENDED}
              {db.locking("FOR UPDATE SKIP LOCKED")}
            )
            """,
            {"ids": json.dumps(run_ids), "before": stamp(before)},
        )
        deleted: int = cursor.rowcount
    return deleted


def _rows(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with db.connection():
        rows: list[tuple[Any, ...]] = db.execute(sql, values).fetchall()
    return rows
