"""`runs`: echo runs through the whole path, beside no-ops through what others use.

Ours are queued in one transaction, and measured from the first recorded start to the last recorded
finish; the scheduler that dispatches them is a third process on the same cores.
"""

from collections import defaultdict
from statistics import median
from typing import NamedTuple

from benchmarks import noops, records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.noops import Other
from benchmarks.stage import Kind, Stage
from benchmarks.table import goal, progress, show
from shared import clock

WORKERS = 2
GOAL_A_SECOND = {Kind.SQLITE: 1700, Kind.POSTGRES: 900}
GOAL_TIMES_PROCRASTINATE = 3

_HEADINGS = ("", "a second", "of all", "x Dramatiq", "x Celery", "x procrastinate", "goals")


class Peers(NamedTuple):
    """What others reach, a second; of Celery the quicker pool."""

    dramatiq: float
    celery: float
    procrastinate: float


def run(stage: Stage, kinds: list[Kind], count: int, threads: int, rounds: int) -> None:
    """Measure and print.

    Each round measures everything once, so that a busy moment of the machine spares nobody.
    """
    dramatiq, procrastinate = noops.dramatiq(threads), noops.procrastinate(threads)
    celeries = [noops.celery_prefork(), noops.celery_threads(threads)]
    ours: dict[Kind, list[float]] = defaultdict(list)
    others: dict[Other, list[float]] = defaultdict(list)
    for number in range(1, rounds + 1):
        for kind in kinds:
            progress(f"round {number} of {rounds}: Agent Manager, {kind}")
            ours[kind].append(_rate(stage, kind, count, threads))
        for other in (dramatiq, *celeries, procrastinate):
            progress(f"round {number} of {rounds}: {other.name}")
            others[other].append(other.rate(stage, count))
    peers = Peers(
        dramatiq=median(others[dramatiq]),
        celery=max(median(others[celery]) for celery in celeries),
        procrastinate=median(others[procrastinate]),
    )
    show(
        f"{count:,} echo runs, or no-ops; {WORKERS} worker processes; median of {rounds}",
        _HEADINGS,
        [
            *(_row_of_ours(kind, rates, peers) for kind, rates in ours.items()),
            *(_row(other.name, rates, peers) for other, rates in others.items()),
        ],
    )


def _rate(stage: Stage, kind: Kind, count: int, threads: int) -> float:
    processes = ["scheduler", *["worker"] * WORKERS]
    with deployed(stage, kind, processes, WORKER_THREADS=str(threads)) as system:
        since = clock.now()
        call(seed.queued_runs, system.database_url, count)
        ran = call(records.until_ended, system.database_url, count, since, 60 + count / 50)
    assert ran.first_start is not None
    assert ran.last_finish is not None
    return count / (ran.last_finish - ran.first_start).total_seconds()


def _row_of_ours(kind: Kind, rates: list[float], peers: Peers) -> list[str]:
    rate, times = median(rates), GOAL_TIMES_PROCRASTINATE
    goals = (
        goal(rate >= GOAL_A_SECOND[kind], f"{GOAL_A_SECOND[kind]:,}"),
        goal(rate > peers.celery, "Celery's"),
        goal(rate >= times * peers.procrastinate, f"{times} x procrastinate's"),
    )
    return _row(f"Agent Manager, {kind}", rates, peers, ", ".join(goals))


def _row(name: str, rates: list[float], peers: Peers, goals: str = "") -> list[str]:
    times = (f"{median(rates) / peer:.2f}" for peer in peers)
    return [name, f"{median(rates):,.0f}", f"{min(rates):,.0f}-{max(rates):,.0f}", *times, goals]
