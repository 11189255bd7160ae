"""`many`: agents that wait for a slow service, all at once, and what they cost meanwhile."""

import time
from typing import NamedTuple

import psutil
from slow_service import SlowService

from benchmarks import records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.table import goal, progress, show
from shared import clock

PROCESSES = 5
THREADS = 200
MOST_MIB = 400
# Of the 100 of PostgreSQL some are kept for its superuser.
MOST_CONNECTIONS = 97

# Two heartbeats, by the default settings.
_WAITING_SECONDS = 20
_PATIENCE_SECONDS = 60

_HEADINGS = (
    *("database", "agents", "until all wait", "MiB a worker", "CPU a worker", "connections"),
    *("until all is recorded", "goals"),
)


class Meanwhile(NamedTuple):
    """What the workers cost while all their agents wait."""

    most_mib: float
    cpu_percent: float
    connections: int


def run(stage: Stage, kinds: list[Kind]) -> None:
    """Measure and print."""
    show(
        f"Agents that wait, {PROCESSES} workers with {THREADS} threads each",
        _HEADINGS,
        [_row(stage, kind) for kind in kinds],
    )


def _row(stage: Stage, kind: Kind) -> list[str]:
    count = PROCESSES * THREADS
    progress(f"{kind}: {count:,} agents")
    processes = ["scheduler", *["worker"] * PROCESSES, "web"]
    environ = {"WORKER_THREADS": str(THREADS), "ALLOW_PRIVATE_ADDRESSES": "true"}
    with deployed(stage, kind, processes, **environ) as system, SlowService() as service:
        url = system.database_url
        since = clock.now()
        call(seed.http_runs, url, count, service.url)
        system.wait_until(lambda: service.waiting == count, "all to wait", _PATIENCE_SECONDS)
        started = call(records.last_start, url, since)
        meanwhile = _meanwhile(url, kind)
        assert service.waiting == count
        answered_at = clock.now()
        service.answer()
        ran = call(records.until_ended, url, count, since, _PATIENCE_SECONDS)
    assert ran.last_finish is not None
    goals = [goal(meanwhile.most_mib < MOST_MIB, f"{MOST_MIB} MiB")]
    if kind is Kind.POSTGRES:
        most = MOST_CONNECTIONS
        goals.append(goal(meanwhile.connections <= most, f"{most} connections"))
    return [
        kind,
        f"{count:,}",
        f"{(started - since).total_seconds():.2f} s",
        f"{meanwhile.most_mib:.0f}",
        f"{meanwhile.cpu_percent:.1f} %",
        str(meanwhile.connections),
        f"{(ran.last_finish - answered_at).total_seconds():.2f} s",
        ", ".join(goals),
    ]


def _meanwhile(database_url: str, kind: Kind) -> Meanwhile:
    workers = [psutil.Process(pid) for pid in set(call(records.held, database_url).values())]
    before = _cpu_seconds(workers)
    time.sleep(_WAITING_SECONDS)
    took = _cpu_seconds(workers) - before
    return Meanwhile(
        most_mib=max(each.memory_info().rss for each in workers) / 1024**2,
        cpu_percent=100 * took / _WAITING_SECONDS / len(workers),
        connections=(
            _open_files(workers, database_url.removeprefix("sqlite:///"))
            if kind is Kind.SQLITE
            else call(records.connections, database_url)
        ),
    )


def _cpu_seconds(workers: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in workers)


def _open_files(workers: list[psutil.Process], path: str) -> int:
    return sum(file.path == path for each in workers for file in each.open_files())
