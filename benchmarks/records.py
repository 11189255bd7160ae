"""What the records of runs say of how long everything took; to be called in a fresh process."""

from datetime import datetime
from typing import NamedTuple

from shared import db


class Ran(NamedTuple):
    """All runs there are: how many, how many of them are over, and between which instants."""

    runs: int
    ended: int
    first_start: datetime | None
    last_finish: datetime | None


def workers(database_url: str) -> int:
    """How many workers have entered themselves."""
    db.connect(database_url)
    with db.connection():
        (count,) = db.execute("SELECT count(*) FROM worker").fetchone()
    return int(count)


def ran(database_url: str) -> Ran:
    """What became of the runs."""
    db.connect(database_url)
    with db.connection():
        runs, ended, *instants = db.execute(
            "SELECT count(*), count(finished_at), min(started_at), max(finished_at) FROM run"
        ).fetchone()
    first_start, last_finish = (each and db.instant(each) for each in instants)
    return Ran(runs, ended, first_start, last_finish)


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
