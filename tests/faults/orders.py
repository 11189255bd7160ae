"""What the tests ask of the system, remembered as their client knows it, for the checker."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from breaking import BreakableSystem
from named import NEVER, Definition, Order
from record import Snapshot
from waiting import wait_until

from shared import clock, db, new_runs, runs, schedules
from shared.batches import submission
from shared.schedules import DEFAULTS
from shared.wire import camel

_NAMING = ("cron_expression", "run_at", "enabled", "start_at", "end_at")


class Refused(Exception):
    """The API answered that it would not do it."""


class Unclear(OSError):
    """The API answered with 5xx: whether it did what it was asked is not known."""


class Orders:
    """Makes schedules and runs: by itself, as the API's code does it, or by the API of *system*.

    Fields are named as in Python (`overlap_policy="ALLOW"`), either way.
    """

    def __init__(self, system: BreakableSystem) -> None:
        self.list: list[Order] = []
        #: The runs, and the batches, that were accepted.
        self.runs: list[str] = []
        self.batches: list[str] = []
        #: The schedules that are known to be there.
        self.known: list[UUID] = []
        self._system = system
        # What was asked for and not answered, by the name that the schedule then has.
        self._unanswered: dict[str, tuple[datetime, dict[str, Any]]] = {}
        # What each schedule is, as far as that is known: the last edits may have gone unanswered.
        self._perhaps: dict[UUID, list[dict[str, Any]]] = {}

    def one_time(
        self,
        count: int,
        agent: str,
        *,
        at: datetime | None = None,
        by_api: bool = False,
        **fields: Any,
    ) -> list[UUID]:
        """Make *count* schedules that fire once, *at* an instant: by default, in a second.

        If they are many, it is a little later, for making them takes time.
        """
        at = at or clock.now() + timedelta(seconds=1 + count / 8)
        return [
            self.schedule(agent, by_api=by_api, run_at=at, name=f"Once {number}", **fields)
            for number in range(count)
        ]

    def minutely(
        self, count: int, agent: str, *, by_api: bool = False, **fields: Any
    ) -> list[UUID]:
        """Make *count* schedules that fire each minute."""
        return [
            self.schedule(agent, by_api=by_api, cron_expression="* * * * *", **fields)
            for _ in range(count)
        ]

    def wait_until_due(self, at: datetime | None = None) -> None:
        """Wait until the instant *at* has passed: by default, that of every one-time schedule."""
        known = (each["run_at"] for perhaps in self._perhaps.values() for each in perhaps)
        at = at or max(filter(None, known))
        wait_until(lambda: clock.now() > at, f"{at} to pass", timeout=90)

    def schedule(self, agent: str, *, by_api: bool = False, **fields: Any) -> UUID:
        """Make a schedule."""
        asked = clock.now()
        fields = {"name": "Each", "message": "Go", "agent_id": agent, **fields}
        if by_api:
            fields["name"] += f" {uuid4()}"
            try:
                created = self._call("POST", "/api/v1/schedules", 201, fields)
            except OSError:
                self._unanswered[fields["name"]] = asked, {**DEFAULTS, **fields}
                raise
            schedule_id = UUID(created["id"])
        else:
            schedule_id, _ = schedules.create(fields, key=None, now=clock.now())
        self._add(schedule_id, {**DEFAULTS, **fields})
        self._define(schedule_id, asked, clock.now())
        return schedule_id

    def find_unanswered(self, snapshot: Snapshot) -> None:
        """Take for ordered what was never answered, and is there all the same."""
        for row in snapshot.schedules.values():
            if row["name"] in self._unanswered:
                asked, fields = self._unanswered.pop(row["name"])
                self._add(UUID(row["id"]), fields)
                self._define(UUID(row["id"]), asked, NEVER)

    def change(self, schedule_id: UUID, *, by_api: bool = False, **fields: Any) -> None:
        """Change what *fields* name of a schedule.

        If no answer comes, that raises `OSError`, and the checker takes either for true.
        """

        def do() -> object:
            if by_api:
                return self._call("PATCH", f"/api/v1/schedules/{schedule_id}", 200, fields)
            return schedules.change(schedule_id, fields, version=None, now=clock.now())

        self._edit(schedule_id, fields, do)

    def delete(self, schedule_id: UUID, *, by_api: bool = False) -> None:
        """Delete a schedule."""

        def do() -> object:
            if by_api:
                return self._call("DELETE", f"/api/v1/schedules/{schedule_id}", 204)
            return schedules.delete(schedule_id, version=None, now=clock.now())

        self._edit(schedule_id, {"enabled": False}, do)
        self.known.remove(schedule_id)

    def run(
        self,
        agent: str,
        *,
        by_api: bool = False,
        max_attempts: int = 3,
        key: str | None = None,
        **more: Any,
    ) -> str:
        """Have *agent* run now, without a schedule; the run's id. *more*: `message`, `priority`.

        *key* is an idempotency key for the API: who got no answer asks again with the same.
        """
        asked = {"message": "Go", "max_attempts": max_attempts, **more}
        if by_api:
            path = f"/api/v1/agents/{agent}/runs/background"
            answer = self._call("POST", path, 202, asked, key=key)
            run_id: str = answer["runId"]
        else:
            nothing = {"metadata": {}, "session_id": None, "timeout_seconds": None, "key": None}
            made = {**nothing, "priority": 5, **asked}
            run_id = str(new_runs.background(agent, now=clock.now(), **made).id)
        self.runs.append(run_id)
        return run_id

    def batch(self, agent: str, count: int, *, by_api: bool = False, **more: Any) -> str:
        """Submit a batch of *count* items of *agent*; its id. *more*: `max_concurrency`, …"""
        named = {"name": "Many", "agent_id": agent, **more}
        messages = [(f"key-{number}", f"Go {number}") for number in range(count)]
        if by_api:
            items = [{"key": key, "message": message} for key, message in messages]
            asked = {**named, "items": items}
            batch_id: str = self._call("POST", "/api/v1/schedules/batches", 202, asked)["id"]
        else:
            submitted = submission.check(submission.Orders(**named), threads=4, now=clock.now())
            submission.begin(submitted, now=clock.now())
            told = (submission.Item(key, message, {}) for key, message in messages)
            submission.write(submitted, told, clock.now)
            with db.transaction():
                batch_id = str(submission.accept(submitted, key=None, now=clock.now()))
        self.batches.append(batch_id)
        return batch_id

    def move(self, batch_id: str, action: str) -> Any:
        """Have the API `cancel`, `pause` or `resume` a batch; what it answered."""
        return self._call("POST", f"/api/v1/schedules/batches/{batch_id}/{action}", 200)

    def trigger(self, schedule_id: UUID) -> str:
        """Have a schedule run now, by the API; the run's id."""
        path = f"/api/v1/schedules/{schedule_id}/trigger"
        run_id: str = self._call("POST", path, 202, {})["runId"]
        self.runs.append(run_id)
        return run_id

    def cancel(self, run_id: str, *, by_api: bool = False) -> None:
        """Cancel a run that has not ended."""
        if by_api:
            self._call("POST", f"/api/v1/runs/{run_id}/cancel", 200)
        else:
            runs.cancel(UUID(run_id), now=clock.now())

    def _add(self, schedule_id: UUID, fields: dict[str, Any]) -> None:
        self._perhaps[schedule_id] = [fields]
        self.list.append(Order(schedule_id.hex))
        self.known.append(schedule_id)

    def _edit(self, schedule_id: UUID, fields: dict[str, Any], do: Callable[[], object]) -> None:
        asked = clock.now()
        before = self._perhaps[schedule_id]
        after = [each | fields for each in before]
        try:
            do()
        except OSError:
            self._perhaps[schedule_id] = after
            self._define(schedule_id, asked, NEVER)
            self._perhaps[schedule_id] = before + after
            raise
        answered = clock.now()
        if len(after) > 1:
            # The edits before that went unanswered were made by now, or never will be.
            row = self._system.snapshot().schedules[schedule_id.hex]
            after = [{name: row[name] for name in _NAMING}]
        self._perhaps[schedule_id] = after
        self._define(schedule_id, asked, answered)

    def _define(self, schedule_id: UUID, asked: datetime, answered: datetime) -> None:
        (order,) = (each for each in self.list if each.schedule == schedule_id.hex)
        for each in self._perhaps[schedule_id]:
            naming = {name: each.get(name) for name in _NAMING}
            order.definitions.append(Definition(asked=asked, answered=answered, **naming))

    def _call(
        self, method: str, path: str, wanted: int, fields: Any = None, *, key: str | None = None
    ) -> Any:
        body = None if fields is None else {camel(name): _json(fields[name]) for name in fields}
        status, answer = self._system.call(method, path, body, key=key)
        if status != wanted:
            raise (Unclear if status >= 500 else Refused)(f"{method} {path}: {status}, {answer}")
        return answer


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
