"""What the records of runs say of how long everything took; to be called in a fresh process."""

import time
from datetime import datetime
from typing import NamedTuple

from shared import db

_LOOK_EVERY_SECONDS = 1.0


class Ran(NamedTuple):
    """All runs there are: how many of them are over, and between which instants."""

    ended: int
    first_start: datetime | None
    last_finish: datetime | None


def workers(database_url: str) -> int:
    """How many workers have entered themselves."""
    db.connect(database_url)
    with db.connection():
        (count,) = db.execute("SELECT count(*) FROM worker").fetchone()
    return int(count)


def until_ended(database_url: str, count: int, patience_seconds: float) -> Ran:
    """Wait until *count* runs are over; what became of them.

    Looks seldom, and from one process, for looking costs what is to be measured.
    """
    db.connect(database_url)
    deadline = time.monotonic() + patience_seconds
    while (ran := _ran()).ended < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {patience_seconds:.0f} s, of {count} runs: {ran}")
        time.sleep(_LOOK_EVERY_SECONDS)
    return ran


def lateness_ms(database_url: str) -> list[float]:
    """From each run's instant to the start of its agent, in the order of the instants."""
    db.connect(database_url)
    with db.connection():
        rows = db.execute(
            "SELECT scheduled_for, started_at FROM run ORDER BY scheduled_for"
        ).fetchall()
    return [
        (db.instant(started) - db.instant(scheduled)).total_seconds() * 1000
        for scheduled, started in rows
    ]


def _ran() -> Ran:
    with db.connection():
        ended, *instants = db.execute(
            "SELECT count(finished_at), min(started_at), max(finished_at) FROM run"
        ).fetchone()
    first_start, last_finish = (each and db.instant(each) for each in instants)
    return Ran(ended, first_start, last_finish)
