"""A storm of due schedules, and a tick without any, as a scheduler has them."""

from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.fresh import peak_mib
from benchmarks.seed import NOON
from scheduler.tick import tick
from shared import clock, db, messages, processes
from shared.dispatch import Dispatcher
from shared.settings import Settings

_IDLE_TICKS = 500


class Storm(NamedTuple):
    """What a scheduler made of a minute in which much was due."""

    done: int
    seconds: float
    peak_mib: float


class Idle(NamedTuple):
    """Ticks without anything due, in milliseconds."""

    median_ms: float
    worst_ms: float


def storm(database_url: str, redis_url: str) -> Storm:
    """Tick once, until everything that is due has been recorded and dispatched."""
    settings = Settings()
    db.connect(database_url)
    # There is room for all that is due.
    processes.worker_started(
        "benchmark",
        threads=1_000_000,
        queues=["runs"],
        until=NOON + clock.MINUTE,
        now=NOON,
    )
    client = messages.publisher(redis_url)
    dispatcher = Dispatcher(client, window=1_000_000, resend_after=settings.resend_after)
    # As the scheduler does each second, and so learns that Redis is there.
    dispatcher.dispatch(NOON)
    started = perf_counter()
    tick(NOON, dispatcher, batch=settings.tick_batch)
    seconds = perf_counter() - started
    return Storm(messages.waiting(client, messages.RUNS_QUEUE), seconds, peak_mib())


def idle(database_url: str, redis_url: str) -> Idle:
    """Tick half a minute later, when nothing is due."""
    settings = Settings()
    db.connect(database_url)
    client = messages.publisher(redis_url)
    dispatcher = Dispatcher(client, window=1_000_000, resend_after=settings.resend_after)
    now = NOON + clock.MINUTE / 2
    took_ms = []
    for _ in range(_IDLE_TICKS):
        started = perf_counter()
        settled = tick(now, dispatcher, batch=settings.tick_batch).settled
        took_ms.append((perf_counter() - started) * 1000)
        assert settled == 0
    return Idle(median(took_ms), max(took_ms))
