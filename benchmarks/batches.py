"""`batches`: a large batch submitted, run, looked at while it runs, and cancelled."""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import seed
from benchmarks.deployment import deployed
from benchmarks.fresh import call
from benchmarks.spread import Spread
from benchmarks.stage import Kind, Stage
from benchmarks.system import System
from benchmarks.table import goal, progress, show

LARGE = 100_000
GOAL_SUBMIT_SECONDS = 60
GOAL_LOOK_P99_MS = 100
GOAL_CANCEL_SECONDS, GOAL_ENDED_SECONDS = 1, 10

_PATH = "/api/v1/schedules/batches"
_BOUNDARY = "a-boundary-that-is-in-no-item"
_LOOKS = 300
_FROM_AND_TO = ("startedAt", "finishedAt")
_PATIENCE_SECONDS = 120
_HEADINGS = ("database and what", "measured", "goal")


def run(stage: Stage, kinds: list[Kind], count: int, threads: int) -> None:
    """Measure and print."""
    rows = []
    for kind in kinds:
        processes = ["web", "scheduler", "worker", "batch", "batch"]
        settings = {"WORKER_THREADS": str(threads), "LOG_LEVEL": "WARNING"}
        with deployed(stage, kind, processes, **settings) as system:
            client = _Client(system.port, call(seed.operator, system.database_url))
            rows += [_row(kind, *each) for each in _measured(system, client, kind, count)]
    show(f"A batch of {LARGE:,} items, and of {count:,} run to the end", _HEADINGS, rows)


def _measured(
    system: System, client: "_Client", kind: Kind, count: int
) -> Iterator[tuple[str, str, str]]:
    progress(f"{kind}: {count:,} items, two workers")
    batch = client.ended(client.submit(count)["id"])
    yield f"{count:,} items, two workers", f"{_a_second(batch, count):,.0f} items/s", ""

    progress(f"{kind}: {LARGE:,} items are submitted, looked at, and cancelled")
    before = _memory_mib(system)
    since = time.monotonic()
    large = client.submit(LARGE)["id"]
    took = time.monotonic() - since
    met = goal(took < GOAL_SUBMIT_SECONDS, f"{GOAL_SUBMIT_SECONDS} s")
    yield f"submit {LARGE:,} in one request", f"{took:.1f} s", met
    yield "memory that it took the api at most", f"{_memory_mib(system) - before:.0f} MiB", ""

    client.wait_until(large, lambda batch: batch["counts"]["completed"] > 0)
    for name, path in (("list", f"{_PATH}?size=20"), ("detail", f"{_PATH}/{large}")):
        looks = Spread.of(client.looks(path))
        met = goal(looks.p99 < GOAL_LOOK_P99_MS, f"p99 {GOAL_LOOK_P99_MS} ms")
        yield f"{name} while it runs, p50 / p99", f"{looks.p50:.1f} / {looks.p99:.1f} ms", met

    since = time.monotonic()
    client.post(f"{_PATH}/{large}/cancel")
    answered = time.monotonic() - since
    ended = client.ended(large)
    took = time.monotonic() - since
    assert ended["status"] == "CANCELLED", ended
    met = goal(answered < GOAL_CANCEL_SECONDS, f"{GOAL_CANCEL_SECONDS} s")
    yield "cancel, answered after", f"{answered * 1000:.0f} ms", met
    met = goal(took < GOAL_ENDED_SECONDS, f"{GOAL_ENDED_SECONDS} s")
    yield "cancel, all had ended after", f"{took:.1f} s", met


def _a_second(batch: dict[str, Any], count: int) -> float:
    started, finished = (datetime.fromisoformat(batch[name]) for name in _FROM_AND_TO)
    return count / (finished - started).total_seconds()


def _memory_mib(system: System) -> float:
    """The most that any process of the api has held so far."""
    peaks = []
    for pid in system.pids("web"):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        peaks.append(int(next(line for line in status if line.startswith("VmHWM")).split()[1]))
    return max(peaks) / 1024


def _row(kind: Kind, what: str, measured: str, met: str) -> list[str]:
    return [f"{kind}, {what}", measured, met]


class _Client:
    """A connection that is kept."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}"}

    def submit(self, count: int) -> Any:
        """Upload a batch of *count* lines of JSON."""
        lines = (
            json.dumps({"key": f"customer-{n}", "message": f"Write a letter to customer {n}."})
            for n in range(count)
        )
        fields = {"name": "Letters", "agentId": seed.AGENT}
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        file = 'name="items"; filename="items.jsonl"'
        parts.append(f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {file}\r\n\r\n")
        body = "".join(parts) + "\n".join(lines) + f"\r\n--{_BOUNDARY}--\r\n"
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return self._ask("POST", _PATH, body.encode(), kind)

    def post(self, path: str) -> Any:
        """What is answered to a POST."""
        return self._ask("POST", path)

    def looks(self, path: str) -> Iterator[timedelta]:
        """How long each of many GETs took, one after the other."""
        for _ in range(_LOOKS):
            since = time.perf_counter()
            self._ask("GET", path)
            yield timedelta(seconds=time.perf_counter() - since)

    def ended(self, batch_id: str) -> Any:
        """The batch, once it has ended."""
        return self.wait_until(batch_id, lambda batch: batch["finishedAt"] is not None)

    def wait_until(self, batch_id: str, condition: Any) -> Any:
        """The batch, once *condition* holds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition(batch := self._ask("GET", f"{_PATH}/{batch_id}")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Waited in vain for a batch: {batch}")
            time.sleep(0.1)
        return batch

    def _ask(self, method: str, path: str, body: bytes = b"", kind: Any = None) -> Any:
        self._connection.request(method, path, body, {**self._headers, **(kind or {})})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 202):
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {text!r}")
        return json.loads(text)
