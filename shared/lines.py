"""The lines in which queued runs wait, one for each agent and priority, and the places of agents.

An agent's places are taken by its runs that run, and by those that were sent.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from shared import db
from shared.db import stamp
from shared.messages import Sending
from shared.turns import Line

# How many runs are looked at for one choice: some of each line, for all of one would hide the rest.
_LOOKED_AT = 2000


class Head(NamedTuple):
    """A line, and how many runs its agent may have under way, where that is limited."""

    agent_id: str
    priority: int
    most: int | None


# From the head of one line to that of the next: it costs as much as there are lines, not runs.
# In two steps, for SQLite would look for a greater pair along all of an agent's runs.
_LINES = """
    WITH RECURSIVE line (head) AS (
      SELECT (
        SELECT id FROM run {by_queue} WHERE status = 'QUEUED'
        ORDER BY agent_id, priority, available_at LIMIT 1
      )
      UNION ALL
      SELECT COALESCE(
        (SELECT run.id FROM run {by_queue} WHERE run.status = 'QUEUED'
           AND run.agent_id = before.agent_id AND run.priority > before.priority
         ORDER BY run.agent_id, run.priority, run.available_at LIMIT 1),
        (SELECT run.id FROM run {by_queue} WHERE run.status = 'QUEUED'
           AND run.agent_id > before.agent_id
         ORDER BY run.agent_id, run.priority, run.available_at LIMIT 1)
      )
      FROM line JOIN run before ON before.id = line.head
    )
"""
_HEADS = f"""
    {_LINES}
    SELECT run.agent_id, run.priority, a.max_concurrency
    FROM line JOIN run ON run.id = line.head JOIN agent a ON a.id = run.agent_id
"""


def heads() -> list[Head]:
    """Every line in which a run waits, whether its time has come or not."""
    sql = _HEADS.format(by_queue=db.indexed_by("run_queued"))
    return [Head(*row) for row in db.execute(sql).fetchall()]


_WAITING_SINCE = f"""
    {_LINES}
    SELECT MIN(run.available_at) FROM line JOIN run ON run.id = line.head
"""


def waiting_since() -> datetime | None:
    """Since when the run that has waited longest could go; an instant to come, if none can yet."""
    sql = _WAITING_SINCE.format(by_queue=db.indexed_by("run_queued"))
    (since,) = db.execute(sql).fetchone()
    return since and db.instant(since)


_READY = """
    SELECT available_at, id FROM run {by_queue}
    WHERE status = 'QUEUED' AND agent_id = {agent_id} AND priority = {priority}
      AND available_at <= :now AND dispatches = 0
    ORDER BY available_at LIMIT :limit
"""
_NUMBERED = {"number": "int", "agent_id": "text", "priority": "int"}


def ready(heads: list[Head], now: datetime, *, at_most: int) -> list[Line]:
    """The lines of *heads*, each with its first runs that may go at *now*, *at_most* so many."""
    limit = min(max(_LOOKED_AT // len(heads), 1), at_most)
    bound = {"now": stamp(now), "limit": limit}
    runs = (_one_by_one if db.is_sqlite() else _all_at_once)(heads, bound)
    return [
        Line(head.agent_id, head.priority, [(since, db.uuid_hex(id)) for since, id in waiting])
        for head, waiting in zip(heads, runs, strict=True)
    ]


def _one_by_one(heads: list[Head], bound: dict[str, Any]) -> list[list[tuple[Any, Any]]]:
    """For SQLite, which has no LATERAL, and no round trips to save."""
    sql = _READY.format(
        by_queue=db.indexed_by("run_queued"), agent_id=":agent_id", priority=":priority"
    )
    return [
        db.execute(sql, {**bound, "agent_id": head.agent_id, "priority": head.priority}).fetchall()
        for head in heads
    ]


def _all_at_once(heads: list[Head], bound: dict[str, Any]) -> list[list[tuple[Any, Any]]]:
    sql = f"""
        SELECT head.number, ready.available_at, ready.id
        FROM {db.rows("heads", _NUMBERED)} head CROSS JOIN LATERAL (
          {_READY.format(by_queue="", agent_id="head.agent_id", priority="head.priority")}
        ) ready ORDER BY head.number, ready.available_at
    """
    numbered = [
        {"number": number, "agent_id": head.agent_id, "priority": head.priority}
        for number, head in enumerate(heads)
    ]
    found: dict[int, list[tuple[Any, Any]]] = defaultdict(list)
    for number, *run in db.execute(sql, {**bound, "heads": json.dumps(numbered)}).fetchall():
        found[number].append((run[0], run[1]))
    return [found[number] for number in range(len(heads))]


def any_since(since: datetime) -> bool:
    """Whether a run that could go since then has not been sent, of an agent that is not limited."""
    with db.connection():
        unlimited = [each for each in heads() if each.most is None]
        return bool(unlimited) and any(line.runs for line in ready(unlimited, since, at_most=1))


def unclaimed(now: datetime, limit: int, *, within: timedelta) -> list[Sending]:
    """Runs that were sent and not claimed in time. They have their places already.

    None is to be sent again later than *within*: if one is, the clock was set back.
    """
    rows = db.execute(
        f"""
        SELECT id, dispatches FROM run {db.indexed_by("run_sent")}
        WHERE status = 'QUEUED' AND dispatches > 0
          AND (dispatch_at <= :now OR dispatch_at > :at_latest)
        ORDER BY dispatch_at LIMIT :limit
        """,
        {"now": stamp(now), "at_latest": stamp(now + within), "limit": limit},
    ).fetchall()
    return [Sending(db.uuid_hex(id), dispatches) for id, dispatches in rows]


def only(run_id: UUID, now: datetime) -> list[Sending]:
    """That run, if it has not been sent, its time has come and its agent has a place for it."""
    row = db.execute(
        """
        SELECT run.agent_id, a.max_concurrency FROM run JOIN agent a ON a.id = run.agent_id
        WHERE run.id = :id AND run.status = 'QUEUED' AND run.dispatches = 0
          AND run.available_at <= :now
        """,
        {"id": run_id.hex, "now": stamp(now)},
    ).fetchone()
    if row is None:
        return []
    agent_id, most = row
    if most is not None and (
        not locked([agent_id]) or under_way().get(agent_id, 0) >= most or _others(run_id, agent_id)
    ):
        return []
    return [Sending(run_id.hex, 0)]


def _others(run_id: UUID, agent_id: str) -> bool:
    """Whether other runs of that agent wait to be sent: whose turn it is, is for a dispatch to say.

    Those that wait for a time to come count as well, for to tell them apart costs more.
    """
    row = db.execute(
        f"""
        SELECT 1 FROM run {db.indexed_by("run_queued")}
        WHERE status = 'QUEUED' AND agent_id = :agent_id AND dispatches = 0 AND id <> :id LIMIT 1
        """,
        {"id": run_id.hex, "agent_id": agent_id},
    ).fetchone()
    return row is not None


def locked(agent_ids: Iterable[str]) -> set[str]:
    """Those agents, locked so that no other dispatch gives away the same places."""
    ids = sorted(agent_ids)
    if db.is_sqlite() or not ids:
        return set(ids)
    rows = db.execute(
        "SELECT id FROM agent WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
        {"ids": ids},
    ).fetchall()
    return {id for (id,) in rows}


def under_way() -> dict[str, int]:
    """How many runs of each agent have a place: they run, or they were sent."""
    rows = db.execute(
        f"""
        SELECT agent_id, COUNT(*) FROM (
          SELECT agent_id FROM run {db.indexed_by("run_leased")} WHERE status = 'RUNNING'
          UNION ALL
          SELECT agent_id FROM run {db.indexed_by("run_sent")}
          WHERE status = 'QUEUED' AND dispatches > 0
        ) AS placed GROUP BY agent_id
        """
    ).fetchall()
    return dict(rows)
