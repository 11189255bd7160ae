"""The queues, as whoever scales workers wants to know them: what waits, what runs, who is there."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from shared import compute, db, processes, run_lines
from shared.db import stamp
from shared.errors import NotFound
from shared.messages import RUNS_QUEUE
from shared.vitals import RUNS_COUNTED

_RUNS_WAITING = """
    SELECT count(*) FROM (
      SELECT 1 FROM run {by_queue}
      WHERE status = 'QUEUED' AND queue = 'runs' AND available_at <= :now LIMIT :most
    ) AS first
"""
_RUNNING = """
    SELECT queue, count(*) FROM run {by_lease} WHERE status = 'RUNNING' GROUP BY queue
"""
# Of each batch: what of it waits, what runs, and how much may run at once. Where nothing more may
# start nothing waits, but what runs may finish.
_BATCHES = """
    SELECT b.queue, b.agent_id, a.max_concurrency,
      CASE WHEN b.status = 'PAUSED' OR b.ending_at IS NOT NULL OR NOT a.enabled THEN 0
        ELSE p.total - p.taken - p.dropped + p.queued END,
      p.running, b.max_concurrency, b.accepted_at
    FROM batch b {by_live} JOIN batch_progress p ON p.batch_id = b.id
      JOIN agent a ON a.id = b.agent_id
    WHERE b.finished_at IS NULL AND b.accepted_at IS NOT NULL
"""


class Queue(NamedTuple):
    """A queue at one instant."""

    name: str
    #: The compute profile whose workers consume it; None: it is that of schedules.
    compute: str | None
    #: What could run now, and since when the first of that could.
    depth: int
    waiting_since: datetime | None
    running: int
    workers: int
    threads: int
    wanted_workers: int
    max_workers: int | None

    def oldest_age(self, now: datetime) -> timedelta:
        """How long that has waited which has waited longest."""
        since = self.waiting_since
        return timedelta() if since is None else max(now - since, timedelta())


class _Demand:
    """What there is to do in a queue."""

    def __init__(self) -> None:
        self.depth = self.wanted_threads = 0
        self.since: datetime | None = None

    def add(self, waiting: int, since: datetime | None) -> None:
        self.depth += waiting
        if waiting and since is not None:
            self.since = since if self.since is None else min(since, self.since)


def all_queues(now: datetime, *, threads_of_a_worker: int) -> list[Queue]:
    """Every queue: that of schedules first, then those of the compute profiles, by their ids.

    *threads_of_a_worker*: of those of a queue of which none is alive that would tell.
    """
    running = dict(db.execute(_RUNNING.format(by_lease=db.indexed_by("run_leased"))).fetchall())
    crews = processes.crews(now)
    demands = _demands(now, running)
    found = []
    for name, profile, most in [
        (RUNS_QUEUE, None, None),
        *((each.queue, each.id, each.max_workers) for each in compute.known()),
    ]:
        demand = demands.get(name) or _Demand()
        workers, threads = crews.get(name, (0, 0))
        crew, theirs = (workers, threads) if threads else (1, threads_of_a_worker)
        wanted = ceil(demand.wanted_threads * crew / theirs)
        found.append(
            Queue(
                name=name,
                compute=profile,
                depth=demand.depth,
                waiting_since=demand.since,
                running=running.get(name, 0),
                workers=workers,
                threads=threads,
                wanted_workers=_at_most(most, wanted),
                max_workers=most,
            )
        )
    return found


def one(name: str, now: datetime, *, threads_of_a_worker: int) -> Queue:
    """The queue of that name; see `all_queues`. Raises `NotFound`."""
    for queue in all_queues(now, threads_of_a_worker=threads_of_a_worker):
        if queue.name == name:
            return queue
    raise NotFound("queue", name)


def _demands(now: datetime, running: dict[str, int]) -> dict[str, _Demand]:
    demands: defaultdict[str, _Demand] = defaultdict(_Demand)
    sql = _RUNS_WAITING.format(by_queue=db.indexed_by("run_queued"))
    (waiting,) = db.execute(sql, {"now": stamp(now), "most": RUNS_COUNTED}).fetchone()
    of_runs = demands[RUNS_QUEUE]
    of_runs.add(waiting, run_lines.waiting_since() if waiting else None)
    of_runs.wanted_threads = waiting + running.get(RUNS_QUEUE, 0)
    at_once: Counter[tuple[str, str, int | None]] = Counter()
    rows: list[Any] = db.execute(_BATCHES.format(by_live=db.indexed_by("batch_live"))).fetchall()
    for queue, agent_id, agent_most, waiting, runs, most, since in rows:
        demands[queue].add(waiting, db.instant(since))
        at_once[queue, agent_id, agent_most] += _at_most(most, waiting + runs)
    for (queue, _, agent_most), number in at_once.items():
        demands[queue].wanted_threads += _at_most(agent_most, number)
    return demands


def _at_most(most: int | None, number: int) -> int:
    return number if most is None else min(number, most)
