"""What becomes of fire times: pure functions, no clock, no database."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.states import MISSED, QUEUED, SKIPPED, CatchUp, ErrorCode, Overlap, RunStatus

# A fire time noticed within a minute is on time: that is how often the clock is looked at.
MISFIRE_AFTER = timedelta(minutes=1)

_BACKOFF_AT_MOST = timedelta(days=1)


@dataclass(frozen=True)
class Occurrence:
    """A row to be written: a fire time to run, one skipped, or a gap of missed ones."""

    status: RunStatus
    scheduled_for: datetime
    error: tuple[ErrorCode, str] | None = None
    missed_until: datetime | None = None
    missed_count: int | None = None


def to_run(
    passed: Sequence[datetime], catch_up: CatchUp, *, window: timedelta, now: datetime
) -> Sequence[datetime]:
    """Of the fire times that have passed (oldest first), those that still deserve a run.

    The others are always the oldest ones: a gap.
    """
    match catch_up:
        case CatchUp.NONE:
            return [each for each in passed if each >= now - MISFIRE_AFTER]
        case CatchUp.LATEST:
            younger = now - max(window, MISFIRE_AFTER)
            return [each for each in passed[-1:] if each >= younger]


def decide(
    passed: Sequence[datetime],
    deserving: Sequence[datetime],
    *,
    overlap: Overlap,
    active: bool,
    agent_enabled: bool,
) -> list[Occurrence]:
    """A record for every one of *passed*, oldest first.

    *active*: a scheduled run of the same schedule has not ended.
    """
    records: list[Occurrence] = []
    missed = passed[: len(passed) - len(deserving)]
    if missed:
        records.append(
            Occurrence(
                MISSED,
                missed[0],
                (
                    ErrorCode.MISFIRE,
                    "No scheduler noticed in time, and the catch-up policy said no.",
                ),
                missed_until=missed[-1],
                missed_count=len(missed),
            )
        )
    for fire_time in deserving:
        if not agent_enabled:
            records.append(
                Occurrence(SKIPPED, fire_time, (ErrorCode.AGENT_DISABLED, "The agent is disabled."))
            )
        elif active and overlap is Overlap.SKIP:
            records.append(
                Occurrence(SKIPPED, fire_time, (ErrorCode.OVERLAP, "The run before had not ended."))
            )
        else:
            records.append(Occurrence(QUEUED, fire_time))
            active = True
    return records


def jitter(schedule_id: str, fire_time: datetime, most: timedelta) -> timedelta:
    """How much later than *fire_time* its run may start: the same for every scheduler that asks."""
    if not most:
        return most
    seed = f"{schedule_id} {fire_time.isoformat()}".encode()
    share = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest()) / 2**64
    return most * share


def backoff(first: timedelta, failures: int) -> timedelta:
    """How long to wait after so many failed attempts: doubling from *first*, a day at most."""
    doubled: timedelta = first * 2 ** min(failures - 1, 20)
    return min(doubled, _BACKOFF_AT_MOST)
