"""The places of agents: taken by their runs that run, and by those that were sent, in any queue."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared import db
from shared.db import stamp
from shared.messages import Sending


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


def under_way() -> dict[tuple[str, str], int]:
    """How many runs have a place, of each agent in each queue."""
    rows = db.execute(
        f"""
        SELECT agent_id, queue, COUNT(*) FROM (
          SELECT agent_id, queue FROM run {db.indexed_by("run_leased")} WHERE status = 'RUNNING'
          UNION ALL
          SELECT agent_id, queue FROM run {db.indexed_by("run_sent")}
          WHERE status = 'QUEUED' AND dispatches > 0
        ) AS placed GROUP BY agent_id, queue
        """
    ).fetchall()
    return {(agent_id, queue): count for agent_id, queue, count in rows}


def unclaimed(queue: str, now: datetime, limit: int, *, within: timedelta) -> list[Sending]:
    """Runs of *queue* that were sent and not claimed in time. They have their places already.

    None is to be sent again later than *within*: if one is, the clock was set back.
    """
    rows = db.execute(
        f"""
        SELECT id, dispatches FROM run {db.indexed_by("run_sent")}
        WHERE status = 'QUEUED' AND dispatches > 0 AND queue = :queue
          AND (dispatch_at <= :now OR dispatch_at > :at_latest)
        ORDER BY dispatch_at LIMIT :limit
        """,
        {"queue": queue, "now": stamp(now), "at_latest": stamp(now + within), "limit": limit},
    ).fetchall()
    return [Sending(db.uuid_hex(id), dispatches) for id, dispatches in rows]
