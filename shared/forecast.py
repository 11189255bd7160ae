"""What a schedule will run, and what that will cost, as far as anybody can tell.

Its fire times are counted; what a run costs is what the latest of the agent's runs have cost.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile
from typing import Any
from uuid import UUID

from shared import agents, measuring, schedules
from shared.errors import NotFound
from shared.measuring import Measured
from shared.models import Schedule
from shared.timing import Timing

DAY = timedelta(days=1)
# Fire times are whole minutes, so these have 43,200 at most.
COUNTED = 30 * DAY


@dataclass(frozen=True)
class Cadence:
    """How often a schedule fires from an instant on: in a day, in 30, and a day on average.

    The average is over as many of those days as the schedule lasts.
    """

    since: datetime
    first: datetime | None
    next_day: int
    next_30_days: int
    per_day: float

    @classmethod
    def of(cls, timing: Timing, now: datetime) -> "Cadence":
        """That of a schedule from *now* on, or from its start on if that is later."""
        begin, coming = timing.not_until(now), timing.fire_times(now)
        end = begin + COUNTED
        head = list(islice(coming, 1))
        counted = list(takewhile(lambda at: at <= end, chain(head, coming)))
        lasts = (end if timing.end_at is None else min(end, timing.end_at)) - begin
        return cls(
            since=now if timing.start_at is None else max(now, timing.start_at),
            first=head[0] if head else None,
            next_day=bisect_right(counted, begin + DAY),
            next_30_days=len(counted),
            per_day=len(counted) / max(lasts / DAY, 1.0),
        )


@dataclass(frozen=True)
class Cost:
    """What an agent's runs cost, and how many of them tell; where none does, a sentence why."""

    measured: Measured | None
    note: str | None = None

    @classmethod
    def of(cls, agent_id: str) -> "Cost":
        """That of the agent's latest runs."""
        latest = measuring.latest(agent_id)
        priced = [run.cost_usd for run in latest if run.cost_usd is not None]
        if not latest:
            return cls(None, f"No run of agent {agent_id} has been measured yet.")
        if not priced:
            return cls(None, f"The runs of agent {agent_id} report no cost.")
        silent = len(latest) - len(priced)
        if not silent:
            return cls(Measured.of(priced))
        says = f"{silent} of the latest {len(latest)} runs of agent {agent_id} reported no cost"
        return cls(Measured.of(priced), f"{says}; the others stand for all.")

    def of_runs(self, runs: int, max_attempts: int) -> dict[str, float] | None:
        """What so many runs will cost, and what at worst: were each tried as often as it may be."""
        if self.measured is None:
            return None
        low, high = self.measured.range_of(runs)
        amounts = {
            "low": low,
            "mean": self.measured.mean * runs,
            "high": high,
            "worst": high * max_attempts,
        }
        return {name: round(usd, 6) for name, usd in amounts.items()}


@dataclass(frozen=True)
class Forecast:
    """What a schedule will run, and what each of its runs will cost."""

    cadence: Cadence
    cost: Cost
    max_attempts: int

    def cost_of(self, runs: int) -> dict[str, float] | None:
        """What so many of its runs will cost. None: nobody knows."""
        return self.cost.of_runs(runs, self.max_attempts)


def of_orders(fields: Mapping[str, Any], *, now: datetime) -> Forecast:
    """The forecast for what *fields* would make. Raises `Invalid`, as making it would."""
    values = {**schedules.DEFAULTS, **fields}
    timing = schedules.timing_of(values)
    timing.check()
    timing.check_future(now)
    agents.check_usable(values["agent_id"])
    return _forecast(values["agent_id"], timing, values["max_attempts"], now)


def of_schedule(schedule_id: UUID, *, now: datetime) -> Forecast:
    """The forecast for a schedule that there is, were it enabled.

    Raises `NotFound`, or `Invalid` if its expression can no longer be read.
    """
    schedule: Schedule | None = Schedule.get_or_none(
        Schedule.id == schedule_id, Schedule.deleted_at.is_null()
    )
    if schedule is None:
        raise NotFound("schedule", schedule_id)
    timing = schedules.timing_of({name: getattr(schedule, name) for name in schedules.EDITABLE})
    timing.check()
    return _forecast(schedule.agent_id, timing, schedule.max_attempts, now)


def _forecast(agent_id: str, timing: Timing, max_attempts: int, now: datetime) -> Forecast:
    return Forecast(Cadence.of(timing, now), Cost.of(agent_id), max_attempts)
