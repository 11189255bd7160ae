"""An attempt at a run, as it passes between the database and the worker that makes it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from shared.states import ErrorCode, RunStatus


@dataclass(frozen=True)
class Lease:
    """The right to work on one attempt at a run. The attempt is the fence of every write."""

    run_id: UUID
    attempt: int


class Claimed(NamedTuple):
    """A run as the worker that claimed it needs it: whose it is, and its orders."""

    id: UUID
    attempt: int
    uncounted: int
    agent_id: str
    schedule_id: UUID | None
    scheduled_for: datetime | None
    kind: str
    config: dict[str, Any]
    message: str
    timeout_seconds: int
    max_attempts: int
    retry_backoff_seconds: int
    batch_id: UUID | None
    previous_success: datetime | None
    #: What an hour on a machine of its batch costs, in US dollars.
    price_per_hour: Decimal | None


class Leased(NamedTuple):
    """A lease as the database shows it, and until when it holds by its owner's clock."""

    lease: Lease
    until: datetime


@dataclass(frozen=True)
class Held:
    """What the database says of a run that a worker holds."""

    lease: Lease
    cancel_requested: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an attempt that ended its run."""

    status: RunStatus
    content: str | None = None
    error: dict[str, str] | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    #: What the attempt cost as time on a machine.
    compute_usd: Decimal | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def failure(code: ErrorCode, says: str) -> dict[str, str]:
    """An error as a run's record shows it."""
    return {"code": code.value, "message": says}
