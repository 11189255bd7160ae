"""`storage`: what a run takes in the database, and how fast a scheduler deletes the old ones."""

from datetime import timedelta

from benchmarks import records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.stage import Kind, Stage
from benchmarks.system import running
from benchmarks.table import progress, show
from shared import clock

RUNS = 20_000
WORKERS = 2
_AGO = timedelta(days=10)
_KEEP_NONE = {"AGENT_MANAGER_RETENTION_DAYS": "1"}
_PATIENCE_SECONDS = 600


def run(stage: Stage, kinds: list[Kind]) -> None:
    """Measure and print."""
    show(
        f"What {RUNS:,} echo runs of a line each leave in the database, and how fast one scheduler"
        " deletes them beside its other duties",
        ("database", "bytes a run", "GB for 1,000,000 runs", "deleted a second"),
        [_row(stage, kind) for kind in kinds],
    )


def _bytes_each(stage: Stage, kind: Kind) -> float:
    progress(f"{kind}: the size of {RUNS:,} runs")
    with deployed(stage, kind, ["scheduler", *["worker"] * WORKERS]) as system:
        url, since = system.database_url, clock.now()
        before = call(records.size, url)
        call(seed.queued_runs, url, RUNS)
        call(records.until_ended, url, RUNS, since, _PATIENCE_SECONDS)
        return (call(records.size, url) - before) / RUNS


def _deleted_a_second(stage: Stage, kind: Kind) -> float:
    progress(f"{kind}: deleting {RUNS:,} runs")
    with stage.database(kind) as url, stage.folder() as folder:
        at = clock.now() - _AGO
        call(seed.empty, url)
        call(seed.ended_runs, url, RUNS, at)
        settings = {"DATABASE_URL": url, "REDIS_URL": stage.redis()} | _KEEP_NONE
        with running(folder, **settings) as system:
            began = clock.monotonic()
            system.start("scheduler")
            call(records.until_gone, url, at, _PATIENCE_SECONDS)
            return RUNS / (clock.monotonic() - began)


def _row(stage: Stage, kind: Kind) -> list[str]:
    bytes_each, deleted = _bytes_each(stage, kind), _deleted_a_second(stage, kind)
    return [kind, f"{bytes_each:,.0f}", f"{bytes_each / 1000:.1f}", f"{deleted:,.0f}"]
