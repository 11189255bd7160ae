"""What is due: recorded, and moved on, by statements that take a thousand schedules at a time.

A scheduler does it for all schedules; an edit does it for one, before it changes what that one
names, so that no fire time falls between the old definition and the new.
"""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from shared import cron, db, new_runs, policy
from shared.db import stamp
from shared.ids import uuid7_hex
from shared.runs import failure
from shared.states import QUEUED, CatchUp, Overlap

logger = logging.getLogger(__name__)

# How many fire times of one schedule are looked at in one go; a longer gap takes several.
_PASSED_AT_MOST = 10_000

# What equal expressions in equal zones share: the fire times that passed, and the one after.
Memo = dict[tuple[str, str, datetime], tuple[list[datetime], datetime | None]]


class Due(NamedTuple):
    """A schedule whose fire time has come, and what its policies look at."""

    id: str
    cron_expression: str | None
    timezone: str
    next_run_at: datetime
    end_at: datetime | None
    overlap: Overlap
    catch_up: CatchUp
    window: timedelta
    jitter: timedelta
    agent_enabled: bool
    active: bool


def settle(
    now: datetime, *, limit: int = 1, only: UUID | None = None, memo: Memo | None = None
) -> int:
    """Record what up to *limit* schedules named until *now*, and move them on.

    Gives how many schedules were due; if that is *limit*, there may be more. *only* looks at one
    schedule. *memo* is for the calls of one tick to share. Two callers at once take different
    schedules. To be called in a transaction, which makes it whole.
    """
    memo = {} if memo is None else memo
    occurrences: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    for due in _due(now, limit, only):
        try:
            records, move = _settle_one(due, now, memo)
        except Exception as error:
            # One broken schedule is set aside; it neither stops the tick nor trips the next.
            logger.exception("schedule %s set aside", due.id)
            records, move = [], _set_aside(due, error)
        occurrences += records
        moves.append(move)
    if occurrences:
        new_runs.for_fire_times(occurrences, now=now)
    if moves:
        db.execute(_MOVE_ON.format(rows=db.rows("rows", _MOVED)), {"rows": json.dumps(moves)})
    return len(moves)


def next_due_at() -> datetime | None:
    """The earliest fire time that no tick has seen."""
    with db.connection():
        row = db.execute("SELECT MIN(next_run_at) FROM schedule WHERE enabled").fetchone()
    return row[0] and db.instant(row[0])


# The agents are locked against edits, but not against each other's schedules.
_DUE = """
    SELECT s.id, s.cron_expression, s.timezone, s.next_run_at, s.end_at, s.overlap_policy,
      s.catch_up_policy, s.catch_up_window_seconds, s.jitter_seconds, a.enabled,
      s.overlap_policy = 'SKIP' AND EXISTS (
        SELECT 1 FROM run r
        WHERE r.schedule_id = s.id AND r.finished_at IS NULL AND r.trigger = 'SCHEDULE'
      )
    FROM schedule s JOIN agent a ON a.id = s.agent_id
    WHERE s.enabled AND s.next_run_at <= :now {only}
    ORDER BY s.next_run_at LIMIT :limit {locking}
"""

_MOVED = {
    "id": "uuid",
    "next_run_at": "utc",
    "enabled": "bool",
    "last_run_id": "uuid",
    "error": "text",
}

_MOVE_ON = """
    UPDATE schedule SET next_run_at = d.next_run_at, enabled = d.enabled, error = d.error,
      last_run_id = COALESCE(d.last_run_id, schedule.last_run_id)
    FROM {rows} d WHERE schedule.id = d.id
"""


def _due(now: datetime, limit: int, only: UUID | None) -> Iterator[Due]:
    sql = _DUE.format(
        only="" if only is None else "AND s.id = :only",
        locking=db.locking(f"FOR UPDATE OF s {'' if only else 'SKIP LOCKED'} FOR SHARE OF a"),
    )
    values = {"now": stamp(now), "limit": limit, **({"only": only.hex} if only else {})}
    for row in db.execute(sql, values).fetchall():
        yield Due(
            id=db.uuid_hex(row[0]),
            cron_expression=row[1],
            timezone=row[2],
            next_run_at=db.instant(row[3]),
            end_at=row[4] and db.instant(row[4]),
            overlap=Overlap(row[5]),
            catch_up=CatchUp(row[6]),
            window=timedelta(seconds=row[7]),
            jitter=timedelta(seconds=row[8]),
            agent_enabled=bool(row[9]),
            active=bool(row[10]),
        )


def _settle_one(due: Due, now: datetime, memo: Memo) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    passed, upcoming = _passed(due, now, memo)
    if due.end_at is not None and (upcoming is None or upcoming > due.end_at):
        passed, upcoming = [each for each in passed if each <= due.end_at], None
    more_passed = upcoming is not None and upcoming <= now
    deserving = (
        [] if more_passed else policy.to_run(passed, due.catch_up, window=due.window, now=now)
    )
    records = policy.decide(
        passed,
        deserving,
        overlap=due.overlap,
        active=due.active,
        agent_enabled=due.agent_enabled,
    )
    rows = [_row(due, record, now) for record in records]
    move = {
        "id": due.id,
        "next_run_at": upcoming and stamp(upcoming),
        # A one-time schedule has had its time.
        "enabled": due.cron_expression is not None,
        "last_run_id": rows[-1]["id"] if rows else None,
        "error": None,
    }
    return rows, move


def _passed(due: Due, now: datetime, memo: Memo) -> tuple[list[datetime], datetime | None]:
    """The fire times up to *now* that no tick has seen, oldest first, and the one after them."""
    if due.cron_expression is None:
        return [due.next_run_at], None
    key = (due.cron_expression, due.timezone, due.next_run_at)
    if key not in memo:
        expression, zone = cron.parse(due.cron_expression), cron.load_zone(due.timezone)
        upcoming = cron.fire_times(expression, zone, due.next_run_at)
        passed = [due.next_run_at]
        following = None
        for following in islice(upcoming, _PASSED_AT_MOST):
            if following > now:
                break
            passed.append(following)
        else:
            # The last one was seen only to know where to go on.
            following = passed.pop() if len(passed) > _PASSED_AT_MOST else None
        memo[key] = passed, following
    return memo[key]


def _row(due: Due, record: policy.Occurrence, now: datetime) -> dict[str, Any]:
    delay = policy.jitter(due.id, record.scheduled_for, due.jitter)
    row: dict[str, Any] = {
        "id": uuid7_hex(now),
        "schedule_id": due.id,
        "status": record.status.value,
        "scheduled_for": stamp(record.scheduled_for),
        "available_at": stamp(record.scheduled_for + delay),
    }
    if record.status is not QUEUED:
        row["finished_at"] = stamp(now)
    if record.error is not None:
        row["error"] = failure(*record.error)
    if record.missed_until is not None:
        row |= {"missed_until": stamp(record.missed_until), "missed_count": record.missed_count}
    return row


def _set_aside(due: Due, error: Exception) -> dict[str, Any]:
    return {
        "id": due.id,
        "next_run_at": None,
        "enabled": True,
        "last_run_id": None,
        "error": f"{error} Save the schedule again to have it back.",
    }
