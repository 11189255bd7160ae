"""`api`: requests to the Procfile's web line, and to FastAPI doing the same work."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load, seed
from benchmarks.fresh import call
from benchmarks.load import Load
from benchmarks.stage import Kind, Stage
from benchmarks.system import System, running
from benchmarks.table import goal, progress, show

SCHEDULES = 10_000
LIST = "/api/v1/schedules"
UVICORN = "uvicorn benchmarks.others.fastapi_app:app --workers 2 --log-level warning --port $PORT"
# Each trigger is to be dispatched, though no worker takes it.
_WINDOW = "100000"

_HEADINGS = ("request", "a second", "p50", "p99", "wrong answers", "goal")


def run(stage: Stage, kinds: list[Kind]) -> None:
    """Measure and print."""
    for kind in kinds:
        with stage.database(kind) as url:
            progress(f"{kind}: {SCHEDULES:,} schedules with a run each")
            token, ids = call(seed.schedules_with_history, url, SCHEDULES)
            list_ = [load.request("GET", LIST, token)]
            triggers = [load.request("POST", f"{LIST}/{id}/trigger", token) for id in ids]
            with _serving(stage, url, UVICORN) as port:
                fastapi = _measure(f"{kind}: FastAPI lists", port, list_, 200)
            with _serving(stage, url, None) as port:
                ours = _measure(f"{kind}: our list", port, list_, 200)
                triggered = _measure(f"{kind}: our trigger", port, triggers, 202)
        met = goal(ours.per_second >= fastapi.per_second, "FastAPI's")
        rows = [
            _row("list 20: Agent Manager", ours, met),
            _row("list 20: FastAPI, uvicorn with 2 workers", fastapi),
            _row("trigger: Agent Manager", triggered),
        ]
        title = f"{SCHEDULES:,} schedules, {load.CONNECTIONS} connections, {kind}"
        show(title, _HEADINGS, rows)


@contextmanager
def _serving(stage: Stage, url: str, command: str | None) -> Iterator[int]:
    """The port on which *command* serves, or the Procfile's web line."""
    environ = {"DATABASE_URL": url, "REDIS_URL": stage.redis()}
    environ["AGENT_MANAGER_DISPATCH_WINDOW"] = _WINDOW
    with stage.folder() as folder, running(folder, **environ) as system:
        _start(system, command)
        system.wait_until_it_serves(LIST)
        yield system.port


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
