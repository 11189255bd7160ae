"""What ran, runs, and is to run: the reading of runs and their events."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared import listing
from shared.errors import NotFound
from shared.listing import Listing
from shared.models import Run, RunEvent
from shared.pages import Page, Paging, Row

RUNS = Listing(
    table="run r",
    key="r.id",
    columns={
        **listing.read(
            Run,
            "r",
            *("id", "session_id", "agent_id", "schedule_id", "retry_of", "trigger", "status"),
            *("message", "content", "error", "scheduled_for", "missed_until", "missed_count"),
            *("queued_at", "available_at", "started_at", "finished_at", "cancel_requested_at"),
            *("attempt", "max_attempts", "priority", "timeout_seconds", "model", "metadata"),
        ),
        "batch_id": listing.text("r.batch_id"),
        "worker_id": "r.worker_id",
        "duration_ms": listing.millis("r.started_at", "r.finished_at"),
        "metrics.input_tokens": "r.input_tokens",
        "metrics.output_tokens": "r.output_tokens",
        "metrics.total_tokens": (
            "COALESCE(r.input_tokens + r.output_tokens, r.input_tokens, r.output_tokens)"
        ),
        "metrics.cache_read_tokens": "r.cache_read_tokens",
        "metrics.cache_write_tokens": "r.cache_write_tokens",
        "metrics.reasoning_tokens": "r.reasoning_tokens",
        "metrics.requests": "r.requests",
        "metrics.tool_calls": "r.tool_calls",
        "metrics.cost_usd": "r.cost_usd",
        "metrics.compute_usd": "r.compute_usd",
    },
    filters={
        "status": listing.one_of("r.status", "status"),
        "agent_id": "r.agent_id = :agent_id",
        "schedule_id": "r.schedule_id = :schedule_id",
        "batch_id": "r.batch_id = :batch_id",
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
    columns=listing.read(RunEvent, "e", "seq", "at", "attempt", "type", "data"),
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
