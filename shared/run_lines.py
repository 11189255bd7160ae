"""The lines in which the runs of schedules and requests wait: one for each agent and priority."""

import json
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared import db, places
from shared.db import stamp
from shared.messages import RUNS_QUEUE, Chosen, Sending
from shared.turns import Line, Turns

# How many runs are looked at for one choice: some of each line, for all of one would hide the rest.
_LOOKED_AT = 2000


class RunLines:
    """Chooses among all of them, and remembers whose turn it was."""

    queue = RUNS_QUEUE

    def __init__(self) -> None:
        self._turns = Turns()

    def choose(self, now: datetime, room: int, *, again_at: str) -> Chosen:
        """The runs that go at *now*, at most *room* of them, in order."""
        chosen = Chosen()
        found = heads()
        limited = {each.agent_id: each.most for each in found if each.most is not None}
        # An agent that somebody else has locked is left to the next dispatch, which is soon.
        passed_by = limited.keys() - places.locked(limited)
        chosen.held_back = bool(passed_by)
        found = [each for each in found if each.agent_id not in passed_by]
        if not found:
            return chosen
        own, everywhere = _under_way()
        lines = ready(found, now, at_most=room)
        run_ids = self._turns.choose(
            lines,
            room,
            under_way=own,
            places={agent_id: most - everywhere[agent_id] for agent_id, most in limited.items()},
        )
        chosen.unsent += [Sending(run_id, 0) for run_id in run_ids]
        chosen.held_back |= any(
            line.gone < len(line.runs) for line in lines if line.owner in limited
        )
        return chosen


def _under_way() -> tuple[Counter[str], Counter[str]]:
    """How many runs each agent has under way among ours, and in all queues."""
    own: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    for (agent_id, queue), count in places.under_way().items():
        everywhere[agent_id] += count
        if queue == RUNS_QUEUE:
            own[agent_id] += count
    return own, everywhere


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
        SELECT id FROM run {by_queue} WHERE status = 'QUEUED' AND queue = 'runs'
        ORDER BY agent_id, priority, available_at LIMIT 1
      )
      UNION ALL
      SELECT COALESCE(
        (SELECT run.id FROM run {by_queue} WHERE run.status = 'QUEUED' AND run.queue = 'runs'
           AND run.agent_id = before.agent_id AND run.priority > before.priority
         ORDER BY run.agent_id, run.priority, run.available_at LIMIT 1),
        (SELECT run.id FROM run {by_queue} WHERE run.status = 'QUEUED' AND run.queue = 'runs'
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
    WHERE status = 'QUEUED' AND queue = 'runs' AND agent_id = {agent_id} AND priority = {priority}
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


def only(run_id: UUID, now: datetime) -> list[Sending]:
    """That run, if it has not been sent, its time has come and its agent has a place for it."""
    row = db.execute(
        """
        SELECT run.agent_id, a.max_concurrency FROM run JOIN agent a ON a.id = run.agent_id
        WHERE run.id = :id AND run.status = 'QUEUED' AND run.queue = 'runs' AND run.dispatches = 0
          AND run.available_at <= :now
        """,
        {"id": run_id.hex, "now": stamp(now)},
    ).fetchone()
    if row is None:
        return []
    agent_id, most = row
    if most is not None and (
        not places.locked([agent_id])
        or _under_way()[1][agent_id] >= most
        or _others(run_id, agent_id)
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
        WHERE status = 'QUEUED' AND queue = 'runs' AND agent_id = :agent_id AND dispatches = 0
          AND id <> :id LIMIT 1
        """,
        {"id": run_id.hex, "agent_id": agent_id},
    ).fetchone()
    return row is not None
