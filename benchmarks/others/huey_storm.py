"""huey: its scheduler with periodic tasks. It keeps them in memory, and records nothing."""

import logging
from time import perf_counter

from huey import RedisHuey, crontab
from huey.consumer import Scheduler

from benchmarks.fresh import peak_mib
from benchmarks.seed import EXPRESSIONS, NOON
from benchmarks.ticking import Storm


def storm(redis_url: str, count: int) -> Storm:
    """Evaluate *count* periodic tasks, all due, and enqueue them."""
    logging.getLogger("huey").setLevel(logging.WARNING)
    huey = RedisHuey("bench", url=redis_url)
    for number in range(count):
        expression = EXPRESSIONS[number % len(EXPRESSIONS)]
        huey.periodic_task(_crontab(expression), name=f"task_{number}")(_nothing)
    scheduler = Scheduler(huey, None, 1, True)
    started = perf_counter()
    scheduler.enqueue_periodic_tasks(NOON.replace(tzinfo=None))
    seconds = perf_counter() - started
    return Storm(huey.pending_count(), seconds, peak_mib())


def _nothing() -> None:
    """What a task does; no worker runs."""


def _crontab(expression: str) -> object:
    minute, hour, day, month, weekday = expression.replace("MON-FRI", "1-5").split()
    # It knows no zones: what is due at noon in one is due at noon in all.
    return crontab(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday)
