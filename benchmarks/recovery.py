"""`recovery`: from `kill -9` of a worker to the start of its run's next attempt on another."""

import time
from datetime import datetime, timedelta
from statistics import median
from uuid import UUID

from benchmarks import records, seed
from benchmarks.deployment import deployed, wait_for_workers
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.system import System
from benchmarks.table import goal, progress, show
from shared import clock
from shared.settings import Settings

DEFAULT = Settings()
# The shortest lease that the settings allow, and the longest heartbeat that it allows.
QUICK = Settings(
    run_lease=timedelta(seconds=2),
    heartbeat_interval=timedelta(seconds=1),
    reap_interval=timedelta(seconds=0.1),
    dispatch_interval=timedelta(seconds=0.1),
)

# Longer than any of this takes.
_RUN_SECONDS = 600
_PATIENCE_SECONDS = 30

_HEADINGS = ("database, lease, heartbeat, reap", "kills", "median", "worst", "goal")


def run(stage: Stage, kinds: list[Kind], kills: int) -> None:
    """Measure and print."""
    rows = [_row(stage, kind, settings, kills) for kind in kinds for settings in (QUICK, DEFAULT)]
    show("From kill -9 of a worker to the next start of its run", _HEADINGS, rows)


def _row(stage: Stage, kind: Kind, settings: Settings, kills: int) -> list[str]:
    lease, heartbeat = settings.run_lease, settings.heartbeat_interval
    reap, dispatch = settings.reap_interval, settings.dispatch_interval
    # The last heartbeat is seen by a look of the reaper, and so is its having been too long ago.
    most = (lease + 2 * reap + dispatch).total_seconds()
    name = ", ".join([kind, *(f"{each.total_seconds():g} s" for each in (lease, heartbeat, reap))])
    progress(f"{name}: {kills} kills")
    took = _recoveries(stage, kind, settings, kills)
    return [
        name,
        str(kills),
        f"{median(took):.1f} s",
        f"{max(took):.1f} s",
        goal(max(took) <= most, f"{most:g} s"),
    ]


def _recoveries(stage: Stage, kind: Kind, settings: Settings, kills: int) -> list[float]:
    """In seconds. Each worker to be killed holds one run; a spare one is there to take them all."""
    environ = {
        "RUN_LEASE": settings.run_lease,
        "HEARTBEAT_INTERVAL": settings.heartbeat_interval,
        "REAP_INTERVAL": settings.reap_interval,
        "DISPATCH_INTERVAL": settings.dispatch_interval,
        # Nobody waits for these runs to end.
        "SHUTDOWN_GRACE": timedelta(seconds=0.1),
    }
    seconds = {name: str(each.total_seconds()) for name, each in environ.items()}
    processes = ["scheduler", *["worker"] * kills]
    with deployed(stage, kind, processes, WORKER_THREADS="1", **seconds) as system:
        url = system.database_url
        call(seed.queued_runs, url, kills, _RUN_SECONDS)
        system.wait_until(lambda: len(call(records.held, url)) == kills, "the runs to start")
        system.execute("spare", f"AGENT_MANAGER_WORKER_THREADS={kills} python -m worker")
        wait_for_workers(system, kills + 1)
        killed = _kill(system, call(records.held, url), settings.heartbeat_interval)
        patience = settings.run_lease.total_seconds() + _PATIENCE_SECONDS
        system.wait_until(
            lambda: len(call(records.started, url, attempt=2)) == kills,
            "the runs to start again",
            patience,
        )
        restarted = call(records.started, url, attempt=2)
    return [(restarted[run_id] - at).total_seconds() for run_id, at in killed.items()]


def _kill(system: System, held: dict[UUID, int], within: timedelta) -> dict[UUID, datetime]:
    """Kill the worker that holds each run, evenly *within* a time; when each was killed."""
    killed = {}
    for run_id, pid in held.items():
        time.sleep(within.total_seconds() / len(held))
        killed[run_id] = clock.now()
        system.kill(pid)
    return killed
