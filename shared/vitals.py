"""How the whole system is doing, in a few numbers that the database tells.

The statuses are written out, for a planner knows a partial index by its own words only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import db, processes, run_lines, tally
from shared.processes import LiveWorker
from shared.tally import Count

# A tick comes every minute; a scheduler that two of them did not come from does not tick.
TICKS_WITHIN = timedelta(minutes=2)
# Nobody waits for a million rows to be counted: these stand for more. Schedules are counted in
# their index alone; of runs that come and go, PostgreSQL may have to look at every single row.
SCHEDULES_COUNTED, RUNS_COUNTED = 100_000, 10_000

# The minima are the first entries of their indexes; the schedulers are few.
_PULSE = """
SELECT last_tick_at, last_tick_ms, last_tick_lag_ms, next_run_at, lease_until
FROM
  (SELECT max(last_tick_at) AS last_tick_at,
          max(CASE WHEN last_tick_at > :ticks_after THEN last_tick_ms END) AS last_tick_ms,
          max(CASE WHEN last_tick_at > :ticks_after THEN last_tick_lag_ms END) AS last_tick_lag_ms
    FROM scheduler) AS ticks,
  (SELECT min(next_run_at) AS next_run_at FROM schedule WHERE enabled) AS due,
  (SELECT min(lease_until) AS lease_until FROM run WHERE status = 'RUNNING') AS held
"""

# The order keeps PostgreSQL from looking for those few in the whole of the history.
_LOAD = """
SELECT
  (SELECT count(*) FROM (
    SELECT 1 FROM schedule {by_due} WHERE enabled
    ORDER BY next_run_at LIMIT :schedules
  ) AS first),
  (SELECT count(error) FROM (
    SELECT error FROM schedule {by_due} WHERE enabled AND next_run_at IS NULL LIMIT :schedules
  ) AS first),
  (SELECT count(*) FROM (
    SELECT 1 FROM run {by_queue} WHERE status = 'QUEUED'
    ORDER BY agent_id, priority, available_at LIMIT :runs
  ) AS first),
  (SELECT count(*) FROM (
    SELECT 1 FROM run {by_lease} WHERE status = 'RUNNING' ORDER BY lease_until LIMIT :runs
  ) AS first)
"""


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Whether time ticks, runs start and workers live, at one instant."""

    now: datetime
    last_tick_at: datetime | None
    # Of the schedulers' last ticks, how long the slowest took and how late one was (see
    # `scheduler.tick`); a scheduler that finds nothing due is not late.
    tick_duration: timedelta | None
    tick_lag: timedelta | None
    # The first fire time that no tick has seen.
    next_run_at: datetime | None
    # Since when the queued run that has waited longest could go.
    waiting_since: datetime | None
    # Until when the first lease that will run out, or has run out, holds.
    lease_until: datetime | None
    workers: Sequence[LiveWorker]
    # What has ever been counted by all processes.
    counts: Mapping[Count, int]

    def age(self, since: datetime | None) -> timedelta:
        """How long ago that was; nothing, if it is yet to come or there is none."""
        return timedelta() if since is None else max(self.now - since, timedelta())


@dataclass(frozen=True, kw_only=True)
class Load:
    """What there is to do, as far as it is counted."""

    schedules_enabled: int
    # Enabled, but a tick could not make sense of them.
    schedules_set_aside: int
    queued: int
    running: int


def pulse(now: datetime) -> Pulse:
    """The pulse at *now*.

    Its cost grows with the workers there are and the agents that have queued runs, and not with
    schedules, runs or history.
    """
    values = {"ticks_after": db.stamp(now - TICKS_WITHIN)}
    last_tick_at, took_ms, lag_ms, next_run_at, lease_until = db.execute(_PULSE, values).fetchone()
    return Pulse(
        now=now,
        last_tick_at=last_tick_at and db.instant(last_tick_at),
        tick_duration=_milliseconds(took_ms),
        tick_lag=_milliseconds(lag_ms),
        next_run_at=next_run_at and db.instant(next_run_at),
        waiting_since=run_lines.waiting_since(),
        lease_until=lease_until and db.instant(lease_until),
        workers=processes.live_workers(now),
        counts=tally.total(),
    )


def load() -> Load:
    """The load, at a cost that grows with what is enabled and queued up to what is counted."""
    sql = _LOAD.format(
        by_due=db.indexed_by("schedule_due"),
        by_queue=db.indexed_by("run_queued"),
        by_lease=db.indexed_by("run_leased"),
    )
    most = {"schedules": SCHEDULES_COUNTED, "runs": RUNS_COUNTED}
    enabled, set_aside, queued, running = db.execute(sql, most).fetchone()
    return Load(
        schedules_enabled=enabled,
        schedules_set_aside=set_aside,
        queued=queued,
        running=running,
    )


def _milliseconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(milliseconds=number)
