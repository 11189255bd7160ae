"""APScheduler with its SQLAlchemy job store, on the same kind of database as we.

It moves its jobs on there, and runs them on threads of its own process: there is no record of a
run, and no dispatch to elsewhere.
"""

import logging
import threading
from datetime import timedelta
from time import perf_counter
from typing import Any

from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_SUBMITTED
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import Engine, create_engine, event

from benchmarks.fresh import peak_mib
from benchmarks.seed import PAIRS
from benchmarks.ticking import Storm
from shared import clock


def seed(database_url: str, count: int) -> None:
    """Make *count* jobs that were due a second ago."""
    scheduler = _scheduler(_engine(database_url, "SET synchronous_commit = off"))
    scheduler.start(paused=True)
    due_at = clock.now() - timedelta(seconds=1)
    for number in range(count):
        expression, zone = PAIRS[number % len(PAIRS)]
        trigger = CronTrigger.from_crontab(expression, timezone=zone)
        scheduler.add_job(nothing, trigger, next_run_time=due_at, misfire_grace_time=None)
    # Not shut down: that ends the pause, too, and everything would run now.


def storm(database_url: str, count: int, cap_seconds: float) -> Storm:
    """Run everything that is due; at most for *cap_seconds*."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = _scheduler(_engine(database_url))
    executed: list[str] = []
    submitted: list[str] = []
    all_submitted = threading.Event()

    def note(happened: Any) -> None:
        # The events of submission come when the job store is up to date.
        noted = submitted if happened.code == EVENT_JOB_SUBMITTED else executed
        noted.append(happened.job_id)
        if len(submitted) == count:
            all_submitted.set()

    scheduler.add_listener(note, EVENT_JOB_SUBMITTED | EVENT_JOB_EXECUTED)
    started = perf_counter()
    scheduler.start()
    all_submitted.wait(cap_seconds)
    return Storm(len(submitted) or len(executed), perf_counter() - started, peak_mib())


def nothing() -> None:
    """What a job does."""


def _scheduler(engine: Engine) -> BackgroundScheduler:
    store = SQLAlchemyJobStore(engine=engine)
    return BackgroundScheduler(jobstores={"default": store}, timezone="UTC", daemon=True)


def _engine(url: str, *postgres_settings: str) -> Engine:
    """A database set up like ours."""
    if not url.startswith("sqlite"):
        settings = postgres_settings
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    else:
        settings = ("PRAGMA journal_mode = wal", "PRAGMA synchronous = normal")
        engine = create_engine("sqlite:///" + url.removeprefix("sqlite://"))

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        for setting in settings:
            connection.execute(setting)
        connection.commit()

    return engine
