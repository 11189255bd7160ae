"""When a schedule fires: what may be asked for, and its first fire time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from shared import cron
from shared.errors import CronError, Invalid

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """That part of a schedule which decides when it fires."""

    cron_expression: str | None
    run_at: datetime | None
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    enabled: bool

    def check(self) -> None:
        """Raise `Invalid`, with a sentence for each field that is wrong."""
        wrong: dict[str, list[str]] = {}
        try:
            cron.load_zone(self.timezone)
        except Invalid as error:
            wrong |= error.fields
        if self.cron_expression is not None and self.run_at is not None:
            wrong["runAt"] = ["Give either cronExpression or runAt, not both."]
        elif self.cron_expression is not None:
            try:
                cron.parse(self.cron_expression)
            except CronError as error:
                wrong["cronExpression"] = [str(error)]
        elif self.run_at is None:
            wrong["cronExpression"] = ["Give cronExpression, or runAt for a single run."]
        elif not self._includes(self.run_at):
            wrong["runAt"] = ["Must be from startAt to endAt."]
        if self.start_at and self.end_at and self.end_at <= self.start_at:
            wrong["endAt"] = ["Must be after startAt."]
        if wrong:
            raise Invalid(wrong)

    def check_future(self, now: datetime) -> None:
        """Raise `Invalid` if the one instant that it names has passed."""
        if self.run_at is not None and self.run_at <= now:
            raise Invalid({"runAt": ["Must be in the future."]})

    def first_after(self, now: datetime) -> datetime | None:
        """The first fire time after *now*. None: there is none, or it is disabled."""
        return next(self.fire_times(now), None) if self.enabled else None

    def fire_times(self, now: datetime) -> Iterator[datetime]:
        """The fire times after *now*, in order, if it is enabled."""
        if self.cron_expression is None:
            assert self.run_at is not None
            return iter([self.run_at] if self.run_at > now else [])
        parsed, zone = cron.parse(self.cron_expression), cron.load_zone(self.timezone)
        return takewhile(self._includes, cron.fire_times(parsed, zone, self.not_until(now)))

    def not_until(self, now: datetime) -> datetime:
        """The last instant, from *now* on, at which it cannot fire yet."""
        return now if self.start_at is None else max(now, self.start_at - _INSTANT)

    def describe(self) -> str:
        """When it fires, in words."""
        if self.cron_expression is not None:
            return cron.describe(self.cron_expression, self.timezone)
        assert self.run_at is not None
        local = self.run_at.astimezone(cron.load_zone(self.timezone))
        zone = "" if self.timezone == "UTC" else f" ({self.timezone})"
        return f"Once, on {local:%Y-%m-%d} at {local:%H:%M}{zone}"

    def _includes(self, instant: datetime) -> bool:
        return (self.start_at is None or self.start_at <= instant) and (
            self.end_at is None or instant <= self.end_at
        )
