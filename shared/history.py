"""What ran, runs, and is to run: the reading of runs and their events."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared import listing
from shared.errors import NotFound
from shared.listing import Listing
from shared.models import Run
from shared.pages import Page, Paging, Row

RUNS = Listing(
    table="run r",
    key="r.id",
    columns={
        "id": listing.text("r.id"),
        "session_id": listing.text("r.session_id"),
        "agent_id": "r.agent_id",
        "schedule_id": listing.text("r.schedule_id"),
        "batch_id": "NULL",
        "retry_of": listing.text("r.retry_of"),
        "trigger": "r.trigger",
        "status": "r.status",
        "message": "r.message",
        "content": "r.content",
        "error": "r.error",
        "scheduled_for": "r.scheduled_for",
        "missed_until": "r.missed_until",
        "missed_count": "r.missed_count",
        "queued_at": "r.queued_at",
        "available_at": "r.available_at",
        "started_at": "r.started_at",
        "finished_at": "r.finished_at",
        "cancel_requested_at": "r.cancel_requested_at",
        "duration_ms": listing.millis("r.started_at", "r.finished_at"),
        "attempt": "r.attempt",
        "max_attempts": "r.max_attempts",
        "priority": "r.priority",
        "timeout_seconds": "r.timeout_seconds",
        "worker_id": "r.leased_by",
        "model": "r.model",
        "metrics.input_tokens": "r.input_tokens",
        "metrics.output_tokens": "r.output_tokens",
        "metrics.total_tokens": (
            "COALESCE(r.input_tokens + r.output_tokens, r.input_tokens, r.output_tokens)"
        ),
        "metrics.cost_usd": "r.cost_usd",
        "metadata": "r.metadata",
    },
    filters={
        "status": listing.one_of("r.status", "status"),
        "agent_id": "r.agent_id = :agent_id",
        "schedule_id": "r.schedule_id = :schedule_id",
        "trigger": "r.trigger = :trigger",
        "since": "r.queued_at >= :since",
        "until": "r.queued_at < :until",
    },
    orders={
        "queuedAt": "r.queued_at",
        "scheduledFor": "r.scheduled_for",
        "startedAt": "r.started_at",
        "finishedAt": "r.finished_at",
        "priority": "r.priority",
    },
)

EVENTS = Listing(
    table="run_event e",
    key="e.seq",
    columns={"seq": "e.seq", "at": "e.at", "attempt": "e.attempt", "type": "e.type"}
    | {"data": "e.data"},
    filters={"run_id": "e.run_id = :run_id"},
    newest_first=False,
)


def get(run_id: UUID) -> Row:
    """The row of the run. Raises `NotFound`."""
    row = RUNS.get(run_id)
    if row is None:
        raise NotFound("run", run_id)
    return row


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The runs that pass *filters*, the latest first."""
    return RUNS.page(filters, paging)


def events(run_id: UUID, paging: Paging) -> Page:
    """What happened in the run, in order. Raises `NotFound`."""
    if not Run.select().where(Run.id == run_id).exists():
        raise NotFound("run", run_id)
    return EVENTS.page({"run_id": run_id}, paging)


def made_with(key: str) -> UUID | None:
    """The run that was first made with that idempotency key."""
    run: Run | None = Run.select(Run.id).where(Run.idempotency_key == key).get_or_none()
    return None if run is None else run.id
