"""`costs`: what runs cost the database. All that a scheduler and a worker say to it is counted."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from statements import counted

from benchmarks import records, seed
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.table import goal, progress, show
from scheduler.loop import Scheduler
from shared import clock, db
from shared.process import StopFlag
from shared.settings import Settings
from worker.process import WorkerProcess

RUNS = 1000
MOST_STATEMENTS = 4
MOST_COMMITS = 2

# What these threads say is for all runs together.
_SCHEDULER, _WORKER, _HEARTBEAT = "scheduler", "worker", "heartbeat"
# This one only waits for the end.
_OBSERVER = threading.main_thread().name
_PATIENCE_SECONDS = 120


class Cost(NamedTuple):
    """How many of something a run needs: for itself, and its share of what is for all."""

    own: float
    shared: float


def run(stage: Stage, kinds: list[Kind], threads: int) -> None:
    """Measure and print."""
    show(
        f"What each of {RUNS:,} runs says to the database, and its share of what"
        " scheduler and heartbeat say",
        ("database", "statements", "share", "commits", "share", "goals"),
        [row for kind in kinds for row in _rows(stage, kind, threads)],
    )


def of_runs(database_url: str, redis_url: str, since: datetime, threads: int) -> tuple[Cost, Cost]:
    """Run the runs that are queued *since*, or due: their statements, and their commits.

    The processes run on threads of this one, to be listened to; to be called in a fresh one.
    """
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        worker_threads=threads,
        database_connections=threads + 10,
    )
    database = db.connect(database_url, connections=settings.database_connections)
    stop = StopFlag()
    processes = [
        threading.Thread(target=WorkerProcess(settings).run, args=[stop], name=_WORKER),
        threading.Thread(target=Scheduler(settings).run, args=[stop], name=_SCHEDULER),
    ]
    with counted(database) as said:
        for process in processes:
            process.start()
        records.until_ended(database_url, RUNS, since, _PATIENCE_SECONDS)
        costs = _cost(said.statements), _cost(said.commits)
        stop.signals += 1
        for process in processes:
            process.join()
    return costs


def _cost(said: "Counter[str]") -> Cost:
    shared = said[_SCHEDULER] + said[_WORKER] + said[_HEARTBEAT]
    own = said.total() - shared - said[_OBSERVER]
    return Cost(own / RUNS, shared / RUNS)


def _rows(stage: Stage, kind: Kind, threads: int) -> Iterator[list[str]]:
    for name, make in (("queued", seed.queued_runs), ("due at once", seed.due_now)):
        progress(f"{kind}: the statements of {RUNS:,} runs, {name}")
        with stage.database(kind) as url:
            call(seed.empty, url)
            since = clock.now()
            call(make, url, RUNS)
            statements, commits = call(of_runs, url, stage.redis(), since, threads)
        goals = (
            goal(sum(statements) <= MOST_STATEMENTS, f"{MOST_STATEMENTS} statements in all"),
            goal(commits.own <= MOST_COMMITS, f"{MOST_COMMITS} commits of its own"),
        )
        figures = (f"{each:.2f}" for each in (*statements, *commits))
        yield [f"{kind}, {name}", *figures, ", ".join(goals)]
