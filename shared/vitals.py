"""How the whole system is doing, in a few numbers that the database tells.

The statuses are written out, for a planner knows a partial index by its own words only.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import db

# A worker that has not been heard of for so long counts as gone.
SEEN_WITHIN = timedelta(seconds=60)

_PULSE = """
SELECT
  (SELECT max(last_tick_at) FROM scheduler),
  (SELECT last_tick_ms FROM scheduler
    WHERE last_tick_at IS NOT NULL ORDER BY last_tick_at DESC LIMIT 1),
  (SELECT min(next_run_at) FROM schedule WHERE enabled)
"""

_LOAD = """
SELECT enabled, set_aside, queued, waiting_since, running, lease_until, workers, threads
FROM
  (SELECT count(*) AS enabled FROM schedule WHERE enabled) AS schedules,
  (SELECT count(error) AS set_aside FROM schedule
    WHERE enabled AND next_run_at IS NULL) AS broken,
  (SELECT count(*) AS queued,
          min(CASE WHEN available_at <= :now THEN available_at END) AS waiting_since
    FROM run WHERE status = 'QUEUED') AS waiting,
  (SELECT count(*) AS running, min(lease_until) AS lease_until
    FROM run WHERE status = 'RUNNING') AS held,
  (SELECT count(*) AS workers, coalesce(sum(threads), 0) AS threads
    FROM worker WHERE stopped_at IS NULL AND heartbeat_at > :seen_after) AS hands
"""


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Whether time ticks: what the last tick took, and the fire time that no tick has seen."""

    last_tick_at: datetime | None
    last_tick_ms: int | None
    next_run_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Load:
    """What there is to do, and who is there to do it."""

    schedules_enabled: int
    # Enabled, but a tick could not make sense of them.
    schedules_set_aside: int
    queued: int
    # Since when the longest waiting of the runs whose time has come has been waiting.
    waiting_since: datetime | None
    running: int
    # Until when the first lease that will run out, or has run out, holds.
    lease_until: datetime | None
    workers: int
    threads: int


def pulse() -> Pulse:
    """The pulse: cheap, however many schedules and runs there are."""
    last_tick_at, last_tick_ms, next_run_at = db.execute(_PULSE).fetchone()
    return Pulse(
        last_tick_at=last_tick_at and db.instant(last_tick_at),
        last_tick_ms=last_tick_ms,
        next_run_at=next_run_at and db.instant(next_run_at),
    )


def load(now: datetime) -> Load:
    """The load at *now*, at a cost that grows with what is enabled and queued, not with history."""
    values = {"now": db.stamp(now), "seen_after": db.stamp(now - SEEN_WITHIN)}
    row = db.execute(_LOAD, values).fetchone()
    enabled, set_aside, queued, waiting_since, running, lease_until, workers, threads = row
    return Load(
        schedules_enabled=enabled,
        schedules_set_aside=set_aside,
        queued=queued,
        waiting_since=waiting_since and db.instant(waiting_since),
        running=running,
        lease_until=lease_until and db.instant(lease_until),
        workers=workers,
        threads=int(threads),
    )
