"""Histories made up for the checker: rows of the database and lines of the outside."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import record
from checker import check
from factories import make_agent, make_run, make_schedule
from named import Definition, Order
from record import Line, Snapshot

from shared import clock
from shared.models import Run, RunEvent
from shared.states import COMPLETED, Trigger

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
AGENT = "outside"


class History:
    """What may have happened within the last ten minutes, with an agent that does two at a time."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        #: The first whole minute of the history.
        self.start = clock.now().replace(second=0, microsecond=0) - 10 * MINUTE
        self.lines: list[Line] = []
        self.orders: list[Order] = []
        make_agent(AGENT, kind="outside", max_concurrency=2)

    def minute(self, number: int) -> datetime:
        """The instant that is so many minutes after the first."""
        return self.start + number * MINUTE

    def schedule(self, *definitions: Definition) -> UUID:
        """A schedule that was told all this; it names nothing more."""
        last = definitions[-1]
        schedule = make_schedule(
            AGENT,
            cron_expression=last.cron_expression,
            run_at=last.run_at,
            enabled=False,
            next_run_at=None,
        )
        self.orders.append(Order(schedule.id.hex, list(definitions)))
        return schedule.id

    def run(self, schedule: UUID | None = None, at: datetime | None = None, **values: Any) -> Run:
        """A run, which completed at its first attempt unless *values* say otherwise."""
        at = at or self.minute(1)
        made = {
            "kind": "outside",
            "status": COMPLETED,
            "attempt": 1,
            "dispatches": 1,
            "started_at": at + SECOND / 10,
            "finished_at": at + 10 * SECOND,
            "content": "Go (attempt 1)",
            **({"scheduled_for": at, "trigger": Trigger.SCHEDULE} if schedule else {}),
        }
        return make_run(AGENT, schedule=schedule, **made | values)

    def attempt(
        self,
        run: Run,
        number: int,
        *,
        began: float,
        last: float | None = None,
        what: str = "ended",
        pid: int = 1,
    ) -> None:
        """An attempt that began so many seconds after the run's instant, and perhaps was over."""
        self.line(run, "began", number, began, pid=pid)
        if last is not None:
            self.line(run, what, number, last, pid=pid)

    def line(self, run: Run, what: str, attempt: int, seconds: float, *, pid: int = 1) -> None:
        """Something that an agent did so many seconds after the run's instant."""
        at = (run.scheduled_for or self.minute(1)) + seconds * SECOND
        told = Line(
            what=what,
            run=run.id.hex,
            attempt=attempt,
            agent=AGENT,
            at=at,
            monotonic=time.monotonic() - (clock.now() - at).total_seconds(),
            pid=pid,
            host="here",
            scheduled_for=run.scheduled_for,
            content=f"Go (attempt {attempt})" if what == "ended" else None,
        )
        self.lines.append(told)

    def event(
        self, run: Run, seq: int, attempt: int, seconds: float, *, type: str, code: str = ""
    ) -> None:
        """An event of the run, so many seconds after its instant."""
        at = (run.scheduled_for or self.minute(1)) + seconds * SECOND
        RunEvent.create(run=run, seq=seq, attempt=attempt, at=at, type=type, data={"code": code})

    def snapshot(self) -> Snapshot:
        """What the database says of all this."""
        return record.take(self._url)

    def check(
        self, forge: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot, **options: Any
    ) -> None:
        """Have it checked, once what constraints forbid has been forged in the snapshot."""
        check(forge(self.snapshot()), self.lines, self.orders, **options)


def with_run(snapshot: Snapshot, run: Run, **values: Any) -> Snapshot:
    """*snapshot* with another row for *run*."""
    row = {**snapshot.runs[run.id.hex], **values}
    return replace(snapshot, runs={**snapshot.runs, row["id"]: row})


def without(lines: Sequence[Line], what: str) -> list[Line]:
    """*lines* but those that say *what*."""
    return [line for line in lines if line.what != what]
