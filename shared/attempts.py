"""An attempt at a run, as it passes between the database and the worker that makes it."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from shared.states import ApprovalPolicy, ErrorCode, RunStatus, SessionPolicy, Trigger


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
    session_id: UUID
    session_policy: SessionPolicy
    approval_policy: ApprovalPolicy
    approval_wait_seconds: int | None
    kind: str
    config: dict[str, Any]
    message: str
    timeout_seconds: int
    max_attempts: int
    retry_backoff_seconds: int
    batch_id: UUID | None
    trigger: Trigger
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
class Usage:
    """What was used up. None is unknown, or not used; a sum with something known is known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    #: Of the input, what the provider had in its cache, and what it put there.
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    #: Of the output, what nobody gets to read.
    reasoning_tokens: int | None = None
    requests: int | None = None
    tool_calls: int | None = None
    cost_usd: Decimal | None = None
    #: What it cost as time on a machine.
    compute_usd: Decimal | None = None

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            **{
                each.name: _sum(getattr(self, each.name), getattr(other, each.name))
                for each in fields(self)
            }
        )

    def known(self) -> dict[str, Any]:
        """What is known, by its name."""
        each = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in each if value is not None}


NOTHING = Usage()


def _sum(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an attempt that ended its run."""

    status: RunStatus
    content: str | None = None
    error: dict[str, str] | None = None
    model: str | None = None
    usage: Usage = field(default_factory=Usage)
    metadata: dict[str, Any] = field(default_factory=dict)
    #: What its session is to remember from now on.
    history: str | None = None


def failure(code: ErrorCode, says: str) -> dict[str, str]:
    """An error as a run's record shows it."""
    return {"code": code.value, "message": says}
