"""`triggers`: from sending `POST /schedules/{id}/trigger` to the start of the agent."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from http.client import HTTPConnection
from itertools import cycle, islice
from typing import NamedTuple
from uuid import UUID

from benchmarks import records, seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.spread import Spread
from benchmarks.stage import Kind, Stage
from benchmarks.system import System
from benchmarks.table import goal, progress, show
from shared import clock

GOAL_P99_MS = 60
ONE_BY_ONE = 300
A_SECOND = 50
CONNECTIONS = 4
SECONDS = 10

_SCHEDULES = 100
_PATIENCE_SECONDS = 30

_HEADINGS = ("database and load", "triggers", "p50", "p99", "worst", "goal")


class Sent(NamedTuple):
    """A trigger: when it was sent, or was to be sent if that was earlier; and its run."""

    at: datetime
    run_id: UUID


def run(stage: Stage, kinds: list[Kind], threads: int) -> None:
    """Measure and print."""
    rows = []
    for kind in kinds:
        processes = ["web", "scheduler", "worker", "worker"]
        with deployed(stage, kind, processes, WORKER_THREADS=str(threads)) as system:
            token, ids = call(seed.idle_schedules, system.database_url, _SCHEDULES)
            progress(f"{kind}: {ONE_BY_ONE} triggers, one after the other")
            sent = call(one_by_one, system.port, token, ids)
            rows.append(_row(system, f"{kind}, one after the other", sent))
            progress(f"{kind}: {A_SECOND} triggers a second, {SECONDS} s")
            sent = call(steadily, system.port, token, ids)
            name = f"{kind}, {A_SECOND} a second over {CONNECTIONS} connections"
            rows.append(_row(system, name, sent))
    show("From sending a trigger over HTTP to its agent's start", _HEADINGS, rows)


def one_by_one(port: int, token: str, schedule_ids: list[str]) -> list[Sent]:
    """Trigger, and trigger again as soon as that is answered."""
    client = _Client(port, token)
    return [client.trigger(id, clock.now()) for id in islice(cycle(schedule_ids), ONE_BY_ONE)]


def steadily(port: int, token: str, schedule_ids: list[str]) -> list[Sent]:
    """Trigger at a steady rate, over several connections in turn."""
    first = clock.now() + timedelta(seconds=0.5)
    instants = [first + timedelta(seconds=1) / A_SECOND * n for n in range(A_SECOND * SECONDS)]
    planned = list(zip(instants, cycle(schedule_ids), strict=False))

    def trigger(some: list[tuple[datetime, str]]) -> list[Sent]:
        client = _Client(port, token)
        sent = []
        for at, schedule_id in some:
            time.sleep(max(0.0, (at - clock.now()).total_seconds()))
            sent.append(client.trigger(schedule_id, at))
        return sent

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        shares = [planned[number::CONNECTIONS] for number in range(CONNECTIONS)]
        return [each for share in threads.map(trigger, shares) for each in share]


class _Client:
    """A connection that is kept."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"Authorization": f"Bearer {token}"}

    def trigger(self, schedule_id: str, at: datetime) -> Sent:
        """Trigger a schedule now, which was meant for *at*."""
        path = f"/api/v1/schedules/{schedule_id}/trigger"
        self._connection.request("POST", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"A trigger was answered with {answer.status}: {body!r}")
        return Sent(at, UUID(json.loads(body)["runId"]))


def _row(system: System, name: str, sent: list[Sent]) -> list[str]:
    since = min(each.at for each in sent)
    call(records.until_ended, system.database_url, len(sent), since, _PATIENCE_SECONDS)
    started = call(records.started, system.database_url, attempt=1)
    spread = Spread.of(started[each.run_id] - each.at for each in sent)
    return [
        name,
        f"{len(sent)}",
        *spread.cells(),
        goal(spread.p99 < GOAL_P99_MS, f"p99 {GOAL_P99_MS} ms"),
    ]
