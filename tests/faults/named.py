"""Which instants schedules named, worked out minute by minute and by nothing of ours.

Knows simple cron expressions in UTC: `*`, `*/2`, numbers, ranges and lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
# When an answer came that never came.
NEVER = datetime.max.replace(tzinfo=UTC)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a schedule names from some instant between *asked* and *answered* on.

    That is how much a client of the API knows of when an edit was made. Disabled or deleted, it
    names nothing.
    """

    asked: datetime
    answered: datetime
    cron_expression: str | None = None
    run_at: datetime | None = None
    enabled: bool = True
    start_at: datetime | None = None
    end_at: datetime | None = None

    def names(self, instant: datetime) -> bool:
        """Whether it names *instant*."""
        return instant in self.instants(instant, instant)

    def instants(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """The instants that it names from *since* to *until*."""
        if not self.enabled:
            return
        since = max(filter(None, [since, self.start_at]))
        until = min(filter(None, [until, self.end_at]))
        if self.run_at is not None:
            if since <= self.run_at <= until:
                yield self.run_at
            return
        assert self.cron_expression is not None
        minute = since.astimezone(UTC).replace(second=0, microsecond=0)
        while minute <= until:
            if minute >= since and matches(self.cron_expression, minute):
                yield minute
            minute += MINUTE


@dataclass
class Order:
    """A schedule, and what it has been told to be, in that order."""

    schedule: str
    definitions: list[Definition] = field(default_factory=list)

    def certain(self, until: datetime) -> set[datetime]:
        """The instants up to *until* that it named, whenever exactly the edits were made."""
        return {
            instant
            for instant in self.possible(until)
            if instant > self.definitions[0].answered
            and all(each.names(instant) for each in self._perhaps_in_force(instant))
        }

    def possible(self, until: datetime) -> set[datetime]:
        """The instants up to *until* that it may have named, as far as the client knows."""
        return {
            instant
            for definition in self.definitions
            for instant in definition.instants(definition.asked, until)
            if definition in self._perhaps_in_force(instant)
        }

    def _perhaps_in_force(self, instant: datetime) -> list[Definition]:
        """The definitions that the client cannot rule out for *instant*.

        An edit that was never answered leaves the one before in force, perhaps, until another one
        is answered.
        """
        perhaps = []
        over = NEVER
        for definition in reversed(self.definitions):
            if definition.asked <= instant <= over:
                perhaps.append(definition)
            over = min(over, definition.answered)
        return perhaps


def matches(expression: str, minute: datetime) -> bool:
    """Whether *expression* names *minute*, an instant in UTC. Raises `ValueError`."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} is not an expression of five fields.")
    values = (minute.minute, minute.hour, minute.day, minute.month, minute.isoweekday() % 7)
    minutes, hours, days, months, weekdays = (
        value in _numbers(text, *limits) or (limits == (0, 7) and value + 7 in _numbers(text, 0, 7))
        for text, value, limits in zip(fields, values, _RANGES, strict=True)
    )
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    day = (days or weekdays) if either else (days and weekdays)
    return minutes and hours and months and day


def _numbers(text: str, least: int, most: int) -> set[int]:
    numbers: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(least), str(most)
        elif step and not last:
            raise ValueError(f"{item!r} has a step on a single number.")
        numbers |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return numbers
