"""A batch as the database has it: its row, with what has been counted of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared import db, listing
from shared.batches import pace
from shared.batches.models import Batch, BatchProgress
from shared.listing import Listing
from shared.states import ApprovalPolicy, BatchReason, BatchStatus

_ORDERS = (
    *("name", "agent_id", "status", "reason", "priority", "max_concurrency", "budget_usd"),
    *("timeout_seconds", "max_attempts", "retry_backoff_seconds", "approval_policy"),
    *("approval_wait_seconds", "deadline", "notify_agent_id"),
    *("retry_of", "compute", "compute_id", "queue", "price_per_hour", "estimate", "samples"),
    *("stalled_since", "created_at", "ending_at", "finished_at"),
)
_COUNTED = ("total", "taken", "dropped", "queued", "running", "paused", "completed", "failed")
_MEASURED = (
    *("cancelled", "costed", "agent_micros", "compute_micros", "squared_micros"),
    *("interruptions", "interrupted_micros", "started_at", "moved_at"),
)

BATCHES = Listing(
    table="batch b JOIN batch_progress p ON p.batch_id = b.id JOIN agent a ON a.id = b.agent_id",
    key="b.id",
    columns={
        **listing.read(Batch, "b", "id", *_ORDERS),
        **listing.read(BatchProgress, "p", *_COUNTED, *_MEASURED),
        "agent_enabled": "a.enabled",
    },
    where="b.accepted_at IS NOT NULL",
    filters={
        "status": listing.one_of("b.status", "status"),
        "agent_id": "b.agent_id = :agent_id",
        "compute": "b.compute_id = :compute",
        "q": listing.like("b.name", "q"),
        "since": "b.created_at >= :since",
        "until": "b.created_at < :until",
    },
    orders={
        "name": "b.name",
        "createdAt": "b.created_at",
        "startedAt": "p.started_at",
        "finishedAt": "b.finished_at",
        "priority": "b.priority",
    },
)


class State(NamedTuple):
    """A row of `BATCHES`, as Python has it."""

    id: UUID
    name: str
    agent_id: str
    status: BatchStatus
    reason: BatchReason | None
    priority: int
    max_concurrency: int | None
    budget_usd: float | None
    timeout_seconds: int
    max_attempts: int
    retry_backoff_seconds: int
    approval_policy: ApprovalPolicy
    approval_wait_seconds: int | None
    deadline: datetime | None
    notify_agent_id: str | None
    retry_of: UUID | None
    compute: dict[str, Any]
    compute_id: str
    queue: str
    price_per_hour: float | None
    estimate: dict[str, Any]
    samples: list[pace.Sample]
    stalled_since: datetime | None
    created_at: datetime
    ending_at: datetime | None
    finished_at: datetime | None
    total: int
    taken: int
    dropped: int
    queued: int
    running: int
    paused: int
    completed: int
    failed: int
    cancelled: int
    costed: int
    agent_micros: int
    compute_micros: int
    squared_micros: float
    interruptions: int
    interrupted_micros: int
    started_at: datetime | None
    moved_at: datetime
    agent_enabled: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many of its items are what; together they are all of them."""
        return {
            "total": self.total,
            "queued": self.total - self.taken - self.dropped + self.queued,
            "running": self.running,
            "paused": self.paused,
            "completed": self.completed,
            "failed": self.failed,
            "cancelled": self.cancelled + self.dropped,
        }

    @property
    def ended(self) -> int:
        """How many of its items have ended."""
        return self.completed + self.failed + self.cancelled + self.dropped

    @property
    def measured(self) -> int:
        """How many of its items have cost what they cost."""
        return self.completed + self.failed


def read(row: Sequence[Any]) -> State:
    """What a row of `BATCHES` says."""
    state = State(*row)
    instants = (
        *("deadline", "stalled_since", "created_at", "ending_at", "finished_at"),
        *("started_at", "moved_at"),
    )
    values: dict[str, Any] = {
        name: (at := getattr(state, name)) and db.instant(at) for name in instants
    }
    amounts = ("budget_usd", "price_per_hour")
    values |= {
        name: None if (amount := getattr(state, name)) is None else float(amount)
        for name in amounts
    }
    values |= {name: db.json_value(getattr(state, name)) for name in ("compute", "estimate")}
    return state._replace(
        id=db.uuid(state.id),
        status=BatchStatus(state.status),
        reason=state.reason and BatchReason(state.reason),
        approval_policy=ApprovalPolicy(state.approval_policy),
        retry_of=state.retry_of and db.uuid(state.retry_of),
        samples=[(at, ended) for at, ended in db.json_value(state.samples)],
        **values,
    )
