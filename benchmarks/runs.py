"""`runs`: echo runs through the whole path, from a queued row to its recorded finish."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median, quantiles

from benchmarks import records, seed
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.system import running
from benchmarks.table import goal, progress, show
from shared import clock

WORKERS = 2
# DESIGN.md: with free workers an agent starts within a second of its instant.
ON_TIME_MS = 1000

_LEAD = timedelta(seconds=6)
_LIGHT = [timedelta(milliseconds=150) * number for number in range(130)]
_SELDOM = [timedelta(seconds=6) * number for number in range(5)]


def run(stage: Stage, kinds: list[Kind], count: int, threads: int) -> None:
    """Measure and print."""
    throughput, lateness = [], []
    for kind in kinds:
        with _system(stage, kind, threads) as url:
            throughput.append(_throughput(url, kind, count))
        for load, offsets in (("one each 150 ms", _LIGHT), ("one each 6 s", _SELDOM)):
            with _system(stage, kind, threads) as url:
                lateness.append(_lateness(url, f"{kind}, {load}", offsets))
    show(
        f"Echo runs, {WORKERS} workers with {threads} threads each, 1 scheduler",
        ("database", "runs", "seconds", "runs a second"),
        throughput,
    )
    show(
        "From a fire time to its agent's start",
        ("database and load", "runs", "p50", "p99", "worst", "goal"),
        lateness,
    )


@contextmanager
def _system(stage: Stage, kind: Kind, threads: int) -> Iterator[str]:
    """The URL of the database of a scheduler and workers that are up and wait for work."""
    with stage.database(kind) as url, stage.folder() as folder:
        call(seed.empty, url)
        environ = {"DATABASE_URL": url, "REDIS_URL": stage.redis()}
        environ["AGENT_MANAGER_WORKER_THREADS"] = str(threads)
        with running(folder, **environ) as system:
            for process in ["scheduler", *["worker"] * WORKERS]:
                system.start(process)
            system.wait_until(lambda: call(records.workers, url) == WORKERS, "the workers")
            yield url


def _throughput(url: str, kind: Kind, count: int) -> list[str]:
    progress(f"{kind}: {count:,} runs")
    call(seed.queued_runs, url, count)
    ran = call(records.until_ended, url, count, 60 + count / 50)
    assert ran.first_start is not None
    assert ran.last_finish is not None
    seconds = (ran.last_finish - ran.first_start).total_seconds()
    return [kind, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}"]


def _lateness(url: str, name: str, offsets: list[timedelta]) -> list[str]:
    seconds = (_LEAD + offsets[-1]).total_seconds()
    progress(f"{name}: {len(offsets)} one-time schedules, {seconds:.0f} s")
    first = clock.now() + _LEAD
    call(seed.one_time_schedules, url, [first + offset for offset in offsets])
    call(records.until_ended, url, len(offsets), seconds + 30)
    late = call(records.lateness_ms, url)
    p99 = quantiles(late, n=100, method="inclusive")[98]
    return [
        name,
        str(len(late)),
        *(f"{each:.0f} ms" for each in (median(late), p99, max(late))),
        goal(max(late) < ON_TIME_MS, f"{ON_TIME_MS} ms"),
    ]
