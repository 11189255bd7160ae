"""`storm`: thousands of schedules due in one minute, and none."""

from collections.abc import Iterator

from benchmarks import reference, seed, ticking
from benchmarks.fresh import call
from benchmarks.others import apscheduler_storm, huey_storm
from benchmarks.stage import Kind, Stage
from benchmarks.table import goal, progress, show
from benchmarks.ticking import Idle, Storm

# One and a half times what a bare reference took on the machine on which the goals were set.
GOAL_SECONDS = {
    (Kind.SQLITE, 10_000): 0.5,
    (Kind.SQLITE, 100_000): 6.5,
    (Kind.POSTGRES, 10_000): 1.0,
    (Kind.POSTGRES, 100_000): 11.0,
}
PEAK_MIB = 80
IDLE_MS = 3.0
# How many the others are given, and how long: they are slow.
OTHERS_COUNT = 10_000
OTHERS_CAP_SECONDS = 60

_HEADINGS = ("from the tick to the last dispatch", "seconds", "a second", "x bare", "peak", "goals")


def run(stage: Stage, kinds: list[Kind], counts: list[int]) -> None:
    """Measure and print."""
    idle = []
    for kind in kinds:
        for count in counts:
            bare = _bare(stage, kind, count)
            ours, quiet = _ours(stage, kind, count)
            wanted = GOAL_SECONDS.get((kind, count))
            rows = [_row_of_ours(ours, bare, wanted), _row("bare reference", bare, bare)]
            if count <= OTHERS_COUNT:
                rows += _rows_of_others(stage, kind, count, bare)
            show(f"{count:,} schedules due in one minute, {kind}", _HEADINGS, rows)
            idle.append(_idle_row(f"{kind}, {count:,} schedules", quiet))
    show("A tick with nothing due", ("database", "median", "worst", "goal"), idle)


def _bare(stage: Stage, kind: Kind, count: int) -> Storm:
    progress(f"{kind}: the bare reference, {count:,} due")
    with stage.database(kind) as url:
        call(reference.seed, url, count)
        return _all_of(count, call(reference.storm, url, stage.redis()))


def _ours(stage: Stage, kind: Kind, count: int) -> tuple[Storm, Idle]:
    progress(f"{kind}: our tick, {count:,} due")
    with stage.database(kind) as url:
        call(seed.due_schedules, url, count)
        redis = stage.redis()
        storm = _all_of(count, call(ticking.storm, url, redis))
        return storm, call(ticking.idle, url, redis)


def _all_of(count: int, storm: Storm) -> Storm:
    if storm.done != count:
        raise RuntimeError(f"Of {count} due schedules, {storm.done} were dispatched.")
    return storm


def _rows_of_others(stage: Stage, kind: Kind, count: int, bare: Storm) -> Iterator[list[str]]:
    progress(f"{kind}: APScheduler, {count:,} due; {OTHERS_CAP_SECONDS} s at most")
    with stage.database(kind) as url:
        call(apscheduler_storm.seed, url, count)
        storm = call(apscheduler_storm.storm, url, count, OTHERS_CAP_SECONDS)
    cut = f" (cut at {storm.done:,})" if storm.done < count else ""
    yield _row(f"APScheduler, SQLAlchemy job store, no record{cut}", storm, bare)
    progress(f"huey, {count:,} due")
    storm = call(huey_storm.storm, stage.redis(), count)
    yield _row("huey, Redis only, no record", storm, bare)


def _row_of_ours(ours: Storm, bare: Storm, wanted: float | None) -> list[str]:
    goals = [goal(ours.peak_mib < PEAK_MIB, f"{PEAK_MIB} MiB")]
    if wanted is not None:
        goals.insert(0, goal(ours.seconds <= wanted, f"{wanted:g} s"))
    return _row("Agent Manager", ours, bare, ", ".join(goals))


def _row(name: str, storm: Storm, bare: Storm, goals: str = "") -> list[str]:
    times = storm.seconds / bare.seconds * bare.done / storm.done
    return [
        name,
        f"{storm.seconds:.2f}",
        f"{storm.done / storm.seconds:,.0f}",
        f"{times:.2f}",
        f"{storm.peak_mib:.0f} MiB",
        goals,
    ]


def _idle_row(name: str, idle: Idle) -> list[str]:
    met = goal(idle.median_ms < IDLE_MS, f"{IDLE_MS:g} ms")
    return [name, f"{idle.median_ms:.2f} ms", f"{idle.worst_ms:.2f} ms", met]
