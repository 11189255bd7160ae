"""`models`: what an `llm` agent adds to the call of a model, many of them at once, and a cancel."""

import asyncio
import json
import time
from datetime import datetime, timedelta
from http.client import HTTPConnection
from typing import Any, NamedTuple

import psutil
from fake_models import FakeModels, Said

from benchmarks import records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.spread import Spread
from benchmarks.stage import Kind, Stage
from benchmarks.system import System
from benchmarks.table import goal, progress, show
from shared import clock

THREADS = 200
CALLS = 100
CANCELS = 5
MOST_OVERHEAD_MS = 30
MOST_SECONDS = 4
MOST_MIB = 500
MOST_CANCEL_SECONDS = 3

_WARM_UP = 10
_PATIENCE_SECONDS = 60
_LEAD = timedelta(seconds=5)
_HEADINGS = (
    *("database", "bare call p50", "run p50", "p99", "overhead"),
    *(f"{THREADS} calls of 1 s", "MiB", "cancel, worst", "goals"),
)


class Cancelled(NamedTuple):
    """A run that was cancelled: when that was asked for, and when it had ended."""

    asked_at: datetime
    ended_at: datetime


def run(stage: Stage, kinds: list[Kind]) -> None:
    """Measure and print."""
    title = f"Models, one worker with {THREADS} threads, and a server that answers at once"
    show(title, _HEADINGS, [_row(stage, kind) for kind in kinds])


def _row(stage: Stage, kind: Kind) -> list[str]:
    environ = {"WORKER_THREADS": str(THREADS), "ALLOW_PRIVATE_ADDRESSES": "true"}
    with (
        FakeModels() as models,
        deployed(stage, kind, ["web", "scheduler", "worker"], **environ) as system,
    ):
        models.behaviours["second"] = _after_a_second
        token = call(seed.operator, system.database_url)
        progress(f"{kind}: {CALLS} calls, bare and as runs")
        bare = Spread.of(call(bare_calls, models.url))
        ran = Spread.of(call(runs_one_by_one, system.port, token, models.url))
        progress(f"{kind}: {THREADS} calls at once")
        took = _all_at_once(system)
        mib = max(_mib(pid) for pid in system.pids("worker"))
        progress(f"{kind}: {CANCELS} cancels")
        cancels = call(cancels_in_flight, system.port, token)
        models.released.set()
    worst = max((each.ended_at - each.asked_at).total_seconds() for each in cancels)
    overhead = ran.p50 - bare.p50
    return [
        kind,
        f"{bare.p50:.1f} ms",
        f"{ran.p50:.1f} ms",
        f"{ran.p99:.1f} ms",
        f"{overhead:.1f} ms",
        f"{took:.2f} s",
        f"{mib:.0f}",
        f"{worst:.2f} s",
        ", ".join(
            [
                goal(overhead < MOST_OVERHEAD_MS, f"{MOST_OVERHEAD_MS} ms"),
                goal(took < MOST_SECONDS, f"{MOST_SECONDS} s"),
                goal(mib < MOST_MIB, f"{MOST_MIB} MiB"),
                goal(worst < MOST_CANCEL_SECONDS, f"{MOST_CANCEL_SECONDS} s"),
            ]
        ),
    ]


def _all_at_once(system: System) -> float:
    """The seconds from the fire time of many schedules until their last run has ended."""
    fire_time = clock.now() + _LEAD
    instants = [fire_time] * THREADS
    call(seed.one_time_schedules, system.database_url, instants, "second_model")
    if clock.now() > fire_time:
        raise RuntimeError(f"The schedules took more than {_LEAD.seconds} s to make.")
    ran = call(records.until_ended, system.database_url, THREADS, fire_time, _PATIENCE_SECONDS)
    assert ran.last_finish is not None
    return (ran.last_finish - fire_time).total_seconds()


def bare_calls(url: str) -> list[timedelta]:
    """How long the SDK's own streamed calls take, one after the other."""
    from openai import AsyncOpenAI

    async def measure() -> list[timedelta]:
        client = AsyncOpenAI(base_url=url, api_key="none")
        took = []
        for _ in range(_WARM_UP + CALLS):
            started = time.perf_counter()
            answer = await client.chat.completions.create(
                model="echo", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            async for _ in answer:
                pass
            took.append(timedelta(seconds=time.perf_counter() - started))
        return took[_WARM_UP:]

    return asyncio.run(measure())


def runs_one_by_one(port: int, token: str, url: str) -> list[timedelta]:
    """From asking for a run over HTTP to its recorded end, one after the other."""
    client = _Client(port, token)
    for name in ("echo", "slow", "second"):
        config = {"model": f"openai-chat:{name}", "baseUrl": url}
        agent = {"id": f"{name}_model", "name": name, "kind": "llm", "config": config}
        client.ask("POST", "/agents", agent)
    took = []
    for _ in range(_WARM_UP + CALLS):
        asked_at = clock.now()
        run_id = client.start("echo_model")
        took.append(client.ended(run_id) - asked_at)
    return took[_WARM_UP:]


def cancels_in_flight(port: int, token: str) -> list[Cancelled]:
    """Cancel runs whose model has not answered yet."""
    client = _Client(port, token)
    cancelled = []
    for _ in range(CANCELS):
        run_id = client.start("slow_model")
        client.wait_until(run_id, lambda run: run["status"] == "RUNNING")
        asked_at = clock.now()
        client.ask("POST", f"/runs/{run_id}/cancel", None)
        cancelled.append(Cancelled(asked_at, client.ended(run_id)))
    return cancelled


class _Client:
    """A connection that is kept."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def start(self, agent_id: str) -> str:
        """Ask for a run of that agent; its id."""
        made = self.ask("POST", f"/agents/{agent_id}/runs/background", {"message": "Hello"})
        return str(made["runId"])

    def ended(self, run_id: str) -> datetime:
        """When the run ended, once it has."""
        run = self.wait_until(run_id, lambda run: run["finishedAt"] is not None)
        return datetime.fromisoformat(run["finishedAt"])

    def wait_until(self, run_id: str, condition: Any) -> Any:
        """The run, once the *condition* holds of it."""
        while not condition(run := self.ask("GET", f"/runs/{run_id}", None)):
            time.sleep(0.005)
        return run

    def ask(self, method: str, path: str, document: Any) -> Any:
        """What the API answers, which is yes."""
        body = None if document is None else json.dumps(document)
        self._connection.request(method, f"/api/v1{path}", body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {text!r}")
        return json.loads(text)


def _after_a_second(models: FakeModels, body: dict[str, Any]) -> Said:
    time.sleep(1)
    return Said(pieces=("Done",))


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1024**2
