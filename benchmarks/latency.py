"""`latency`: from the instant of a one-time schedule to the start of its agent.

What is judged is `started_at - scheduled_for`, the tick included; beside it stands how much of that
had passed when the tick looked at the clock, `queued_at - scheduled_for`.
"""

import time
from datetime import timedelta

from benchmarks import records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.spread import Spread
from benchmarks.stage import Kind, Stage
from benchmarks.system import System
from benchmarks.table import goal, progress, show
from shared import clock

A_SECOND = 100
GOAL_P50_MS = 10
GOAL_P99_MS = 50
GOAL_AFTER_IDLE_MS = 20

# For the schedules to be made.
_LEAD = timedelta(seconds=6)
# Longer than a process waits for anything.
_IDLE = timedelta(seconds=3)
_IDLE_COUNT = 10
_PATIENCE_SECONDS = 30

_HEADINGS = ("database and load", "runs", "p50 till the tick", "p50", "p99", "worst", "goals")


def run(stage: Stage, kinds: list[Kind], seconds: int, threads: int) -> None:
    """Measure and print."""
    rows = []
    for kind in kinds:
        processes = ["scheduler", "worker", "worker"]
        with deployed(stage, kind, processes, WORKER_THREADS=str(threads)) as system:
            rows += [_after_idle(system, kind), _steady(system, kind, seconds)]
    show("From a fire time to its agent's start", _HEADINGS, rows)


def _after_idle(system: System, kind: Kind) -> list[str]:
    progress(f"{kind}: {_IDLE_COUNT} runs, each after {_IDLE.seconds} s of idleness")
    tick, start = _lateness(system, _IDLE_COUNT, _IDLE)
    met = goal(start.worst < GOAL_AFTER_IDLE_MS, f"each {GOAL_AFTER_IDLE_MS} ms")
    return _row(f"{kind}, the first after idle", _IDLE_COUNT, tick, start, met)


def _steady(system: System, kind: Kind, seconds: int) -> list[str]:
    progress(f"{kind}: {A_SECOND} runs a second, {seconds} s")
    count = A_SECOND * seconds
    tick, start = _lateness(system, count, timedelta(seconds=1) / A_SECOND)
    p50 = goal(start.p50 < GOAL_P50_MS, f"p50 {GOAL_P50_MS} ms")
    p99 = goal(start.p99 < GOAL_P99_MS, f"p99 {GOAL_P99_MS} ms")
    return _row(f"{kind}, {A_SECOND} a second", count, tick, start, f"{p50}, {p99}")


def _lateness(system: System, count: int, every: timedelta) -> tuple[Spread, Spread]:
    """Of runs one *every* so often: their lateness at the tick, and at their agents' start."""
    since = clock.now()
    first = since + _LEAD
    instants = [first + every * number for number in range(count)]
    call(seed.one_time_schedules, system.database_url, instants)
    if clock.now() > first:
        raise RuntimeError(f"The schedules took more than {_LEAD.seconds} s to make.")
    # Not to be looked at meanwhile.
    time.sleep((instants[-1] - clock.now()).total_seconds())
    call(records.until_ended, system.database_url, count, since, _PATIENCE_SECONDS)
    starts = call(records.starts, system.database_url, since)
    return (
        Spread.of(each.queued_at - each.scheduled_for for each in starts),
        Spread.of(each.started_at - each.scheduled_for for each in starts),
    )


def _row(name: str, count: int, tick: Spread, start: Spread, goals: str) -> list[str]:
    return [name, f"{count:,}", tick.cells()[0], *start.cells(), goals]
