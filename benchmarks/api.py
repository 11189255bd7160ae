"""`api`: requests to the Procfile's web line, and to FastAPI doing the same work."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load, seed
from benchmarks.fresh import call
from benchmarks.load import Load
from benchmarks.stage import Kind, Stage
from benchmarks.system import System, running
from benchmarks.table import goal, progress, show
from benchmarks.writing import COMMITS_A_SECOND

SCHEDULES = 10_000
LIST = "/api/v1/schedules"
UVICORN = "uvicorn benchmarks.others.fastapi_app:app --workers 2 --log-level warning --port $PORT"
# Each trigger is to be dispatched, though no worker takes it.
_WINDOW = "100000"

_HEADINGS = ("request", "a second", "p50", "p99", "wrong answers", "goal")


def run(stage: Stage, kinds: list[Kind]) -> None:
    """Measure and print.

    The goal is judged while others commit: with nothing committed our list need not count what
    there is, which FastAPI does each time.
    """
    for kind in kinds:
        with stage.database(kind) as url:
            progress(f"{kind}: {SCHEDULES:,} schedules with a run each")
            token, ids = call(seed.schedules_with_history, url, SCHEDULES)
            list_ = [load.request("GET", LIST, token)]
            triggers = [load.request("POST", f"{LIST}/{id}/trigger", token) for id in ids]
            with _serving(stage, url, UVICORN) as system:
                theirs = _lists(system, f"{kind}: FastAPI lists", list_)
            with _serving(stage, url, None) as system:
                triggered = _measure(f"{kind}: our trigger", system.port, triggers, 202)
            with _serving(stage, url, None) as system:
                ours = _lists(system, f"{kind}: our list", list_)
        rows = [
            _row("list 20, nothing committed: Agent Manager (count remembered)", ours[0]),
            _row("list 20, nothing committed: FastAPI", theirs[0]),
            _row(
                f"list 20, {COMMITS_A_SECOND} commits a second: Agent Manager",
                ours[1],
                goal(ours[1].per_second >= theirs[1].per_second, "FastAPI's"),
            ),
            _row(f"list 20, {COMMITS_A_SECOND} commits a second: FastAPI", theirs[1]),
            _row("trigger: Agent Manager", triggered),
        ]
        title = f"{SCHEDULES:,} schedules, {load.CONNECTIONS} connections, {kind}"
        show(title, _HEADINGS, rows)


def _lists(system: System, name: str, requests: list[bytes]) -> tuple[Load, Load]:
    """The list while nothing is committed, and while something is."""
    quiet = _measure(name, system.port, requests, 200)
    system.execute("writer", "python -m benchmarks.writing")
    return quiet, _measure(f"{name} while others commit", system.port, requests, 200)


@contextmanager
def _serving(stage: Stage, url: str, command: str | None) -> Iterator[System]:
    """A system in which *command* serves, or the Procfile's web line."""
    environ = {"DATABASE_URL": url, "REDIS_URL": stage.redis()}
    environ["AGENT_MANAGER_DISPATCH_WINDOW"] = _WINDOW
    with stage.folder() as folder, running(folder, **environ) as system:
        _start(system, command)
        system.wait_until_it_serves(LIST)
        yield system


def _start(system: System, command: str | None) -> None:
    if command is None:
        system.start("web")
    else:
        system.execute("fastapi", command)


def _measure(name: str, port: int, requests: list[bytes], status: int) -> Load:
    seconds = load.WARM_UP_SECONDS + load.MEASURED_SECONDS
    progress(f"{name}, {seconds:.0f} s")
    return call(load.measure, port, requests, status)


def _row(name: str, load: Load, goal: str = "") -> list[str]:
    return [
        name,
        f"{load.per_second:,.0f}",
        f"{load.p50_ms:.1f} ms",
        f"{load.p99_ms:.1f} ms",
        str(load.wrong),
        goal,
    ]
