"""The only module that asks what time it is; everybody else is told."""

import time
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)


def now() -> datetime:
    """The current instant, in UTC."""
    return datetime.now(UTC)


def next_minute(now: datetime) -> datetime:
    """The first whole minute after *now*."""
    return now.replace(second=0, microsecond=0) + MINUTE


def monotonic() -> float:
    """Seconds on a clock that no one can set: for measuring and waiting, never for recording."""
    return time.monotonic()
