"""What is due: recorded, and moved on, by statements that take a thousand schedules at a time.

A scheduler does it for all schedules; an edit does it for one, before it changes what that one
names, so that no fire time falls between the old definition and the new.
"""

import json
import logging
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from shared import cron, db, new_runs, policy
from shared.attempts import failure
from shared.budgets import ledger
from shared.budgets.ledger import Ledger
from shared.db import stamp
from shared.dispatch import Outgoing
from shared.ids import uuid7_hex
from shared.states import PAUSED, QUEUED, SKIPPED, CatchUp, ErrorCode, Overlap, WhenSpent

logger = logging.getLogger(__name__)

# How many fire times of one schedule are looked at in one go; a longer gap takes several.
_PASSED_AT_MOST = 10_000
_MOST_REMEMBERED = 5_000


class Rule(NamedTuple):
    """All that decides what a due schedule's fire times become; equal rules are decided once."""

    cron_expression: str | None
    timezone: str
    next_run_at: datetime | str
    end_at: datetime | str | None
    overlap_policy: str
    catch_up_policy: str
    catch_up_window_seconds: int
    priority: int
    agent_enabled: bool
    agent_limited: bool
    active: bool


class Plan(NamedTuple):
    """What becomes of every schedule of one rule: rows to be made, and where it moves on to."""

    occurrences: list[policy.Occurrence]
    rows: list[dict[str, Any]]
    move: dict[str, Any]


# What the calls of one tick share.
Memo = dict[Rule, Plan]


def settle(
    now: datetime,
    *,
    limit: int = 1,
    only: UUID | None = None,
    memo: Memo | None = None,
    outgoing: Outgoing | None = None,
) -> int:
    """Record what up to *limit* schedules named until *now*, and move them on.

    Gives how many schedules were due; if that is *limit*, there may be more. *only* looks at one
    schedule. *memo* is for calls with the same *now* to share. What may go at once is marked as
    sent and put into *outgoing*, as far as that has room. Two callers at once take different
    schedules. To be called in a transaction, which makes it whole.
    """
    memo = {} if memo is None else memo
    rows: list[dict[str, Any]] = []
    moves: list[dict[str, Any]] = []
    due: list[tuple[Any, ...]] = [(db.uuid_hex(id), *rest) for id, *rest in _due(now, limit, only)]
    active, waiting = _unfinished([schedule_id for schedule_id, *_ in due])
    book = ledger.opened([(agent_id, id) for id, agent_id, *_ in due], now=now)
    ruled = [
        (id, agent_id, jitter, Rule._make([*rest, id in active]))
        for id, agent_id, jitter, *rest in due
    ]
    # Where there is not room for all of them, the urgent are to have it; so with money.
    for schedule_id, agent_id, jitter_seconds, rule in sorted(ruled, key=_urgency):
        try:
            plan = memo.get(rule)
            if plan is None:
                if len(memo) >= _MOST_REMEMBERED:
                    memo.clear()
                plan = memo[rule] = _plan(rule, now)
            made = _made(plan, schedule_id, jitter_seconds, now)
            if book is not None:
                _admit(made, book, agent_id, waits=schedule_id in waiting, now=now)
            if outgoing is not None and not jitter_seconds:
                _post(made, outgoing, rule)
        except Exception as error:
            # One broken schedule is set aside; it neither stops the tick nor trips the next.
            logger.exception("schedule %s set aside", schedule_id)
            moves.append(_set_aside(schedule_id, error))
        else:
            rows += made
            last_run = {"last_run_id": made[-1]["id"]} if made else {}
            moves.append({"id": schedule_id, **plan.move, **last_run})
    if rows:
        new_runs.for_fire_times(rows, now=now)
    if moves:
        db.execute(_MOVE_ON.format(rows=db.rows("rows", _MOVED)), {"rows": json.dumps(moves)})
    return len(moves)


def _urgency(ruled: tuple[str, str, int, Rule]) -> int:
    return -ruled[3].priority


def next_due_at() -> datetime | None:
    """The earliest fire time that no tick has seen."""
    with db.connection():
        row = db.execute("SELECT MIN(next_run_at) FROM schedule WHERE enabled").fetchone()
    return row[0] and db.instant(row[0])


# The agents are locked against edits, but not against each other's schedules.
_DUE = """
    SELECT s.id, s.agent_id, s.jitter_seconds, s.cron_expression, s.timezone, s.next_run_at,
      s.end_at, s.overlap_policy, s.catch_up_policy, s.catch_up_window_seconds, s.priority,
      a.enabled, a.max_concurrency IS NOT NULL
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
      last_run_id = COALESCE(
        (SELECT run.id FROM run WHERE run.id = d.last_run_id), schedule.last_run_id
      )
    FROM {rows} d WHERE schedule.id = d.id
"""


def _due(now: datetime, limit: int, only: UUID | None) -> list[tuple[Any, ...]]:
    sql = _DUE.format(
        only="" if only is None else "AND s.id = :only",
        locking=db.locking(
            f"FOR NO KEY UPDATE OF s {'' if only else 'SKIP LOCKED'} FOR SHARE OF a"
        ),
    )
    values = {"now": stamp(now), "limit": limit, **({"only": only.hex} if only else {})}
    rows: list[tuple[Any, ...]] = db.execute(sql, values).fetchall()
    return rows


def _unfinished(schedule_ids: list[str]) -> tuple[set[str], set[str]]:
    """Those schedules of which a scheduled run goes on, and those of which one waits for money.

    One that waits for a person goes on only for those that want it so.

    Asked once they are locked: what was seen before may have been the time before another
    scheduler's tick.
    """
    if not schedule_ids:
        return set(), set()
    rows = db.execute(
        f"""
        SELECT schedule_id, status = 'PAUSED' AND attempt = 0 FROM run
        WHERE finished_at IS NULL AND trigger = 'SCHEDULE'
          AND (status <> 'PAUSED' OR attempt = 0
            OR (SELECT s.paused_overlaps FROM schedule s WHERE s.id = run.schedule_id))
          AND {db.among("schedule_id", "ids")}
        """,
        {"ids": json.dumps(schedule_ids)},
    ).fetchall()
    active = {db.uuid_hex(id) for id, waits in rows if not waits}
    return active, {db.uuid_hex(id) for id, waits in rows if waits}


def _plan(rule: Rule, now: datetime) -> Plan:
    passed, upcoming = _passed(rule, now)
    end_at = rule.end_at and db.instant(rule.end_at)
    if end_at and (upcoming is None or upcoming > end_at):
        passed, upcoming = [each for each in passed if each <= end_at], None
    more_passed = upcoming is not None and upcoming <= now
    catch_up = CatchUp(rule.catch_up_policy)
    window = timedelta(seconds=rule.catch_up_window_seconds)
    occurrences = policy.decide(
        passed,
        [] if more_passed else policy.to_run(passed, catch_up, window=window, now=now),
        overlap=Overlap(rule.overlap_policy),
        active=bool(rule.active),
        agent_enabled=bool(rule.agent_enabled),
    )
    move = {
        "next_run_at": upcoming and stamp(upcoming),
        # A one-time schedule has had its time.
        "enabled": rule.cron_expression is not None,
    }
    return Plan(occurrences, [_row(each, now) for each in occurrences], move)


def _passed(rule: Rule, now: datetime) -> tuple[list[datetime], datetime | None]:
    """The fire times up to *now* that no tick has seen, oldest first, and the one after them."""
    first = db.instant(rule.next_run_at)
    if rule.cron_expression is None:
        return [first], None
    expression, zone = cron.parse(rule.cron_expression), cron.load_zone(rule.timezone)
    passed = [first]
    following = None
    for following in islice(cron.fire_times(expression, zone, first), _PASSED_AT_MOST):
        if following > now:
            break
        passed.append(following)
    else:
        # The last one was seen only to know where to go on.
        following = passed.pop() if len(passed) > _PASSED_AT_MOST else None
    return passed, following


def _row(occurrence: policy.Occurrence, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": occurrence.status.value,
        "scheduled_for": stamp(occurrence.scheduled_for),
        "available_at": stamp(occurrence.scheduled_for),
    }
    if occurrence.status is not QUEUED:
        row["finished_at"] = stamp(now)
    if occurrence.error is not None:
        row["error"] = failure(*occurrence.error)
    if occurrence.missed_until is not None:
        row["missed_until"] = stamp(occurrence.missed_until)
        row["missed_count"] = occurrence.missed_count
    return row


def _made(plan: Plan, schedule_id: str, jitter_seconds: int, now: datetime) -> list[dict[str, Any]]:
    """The rows of *plan* for one of its schedules."""
    rows = [{"id": uuid7_hex(now), "schedule_id": schedule_id, **row} for row in plan.rows]
    if jitter_seconds:
        most = timedelta(seconds=jitter_seconds)
        for row, occurrence in zip(rows, plan.occurrences, strict=True):
            fire_time = occurrence.scheduled_for
            row["available_at"] = stamp(fire_time + policy.jitter(schedule_id, fire_time, most))
    return rows


def _admit(
    rows: list[dict[str, Any]], book: Ledger, agent_id: str, *, waits: bool, now: datetime
) -> None:
    """Reserve money for the queued among *rows*, of one schedule; those without room do not go.

    Of a schedule one run at a time *waits* for a person to let it go on.
    """
    for row in rows:
        if row["status"] != QUEUED:
            continue
        refusal = book.refusal(agent_id, row["schedule_id"])
        if refusal is None:
            row["reserved"] = book.reserve(agent_id, row["schedule_id"]) or None
            continue
        row["error"] = failure(ErrorCode.BUDGET_EXCEEDED, refusal.says)
        if refusal.when_spent is WhenSpent.PAUSE and not waits:
            row["status"], waits = PAUSED.value, True
        else:
            row["status"], row["finished_at"] = SKIPPED.value, stamp(now)


def _post(rows: list[dict[str, Any]], outgoing: Outgoing, rule: Rule) -> None:
    """Mark the queued among *rows* as sent, and put them into *outgoing*, as far as they may go."""
    for row in rows:
        if row["status"] != QUEUED:
            continue
        if rule.agent_limited:
            # Which of its runs has a place is for a dispatch to say.
            outgoing.left_behind = True
        elif outgoing.take(row["id"], rule.priority):
            row["dispatches"] = 1
            row["dispatch_at"] = outgoing.again_at


def _set_aside(schedule_id: str, error: Exception) -> dict[str, Any]:
    return {
        "id": schedule_id,
        "enabled": True,
        "error": f"{error} Save the schedule again to have it back.",
    }
