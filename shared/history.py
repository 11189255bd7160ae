"""What ran, runs, and is to run: the reading of runs and their events."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from shared import db, listing
from shared.errors import NotFound
from shared.listing import Listing
from shared.models import Run, RunEvent
from shared.pages import Page, Paging, Row
from shared.states import ENDED, RunStatus

# Some of them are long.
_EVENTS_AT_ONCE = 50

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
        **listing.read(Run, "r", "asks", "answer_by"),
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
    filters={"run_id": "e.run_id = :run_id", "after": "e.seq > :after"},
    newest_first=False,
)


class RunProgress(NamedTuple):
    """How far a run has come: its status, its latest attempt, and the latest of its events."""

    status: RunStatus
    attempt: int
    last_seq: int

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED


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


def events_after(run_id: UUID, seq: int) -> list[Row]:
    """The next of what happened in the run after the event *seq*, in order."""
    return EVENTS.page({"run_id": run_id, "after": seq}, Paging(size=_EVENTS_AT_ONCE), total=0).rows


def progress(run_id: UUID) -> RunProgress:
    """How far the run has come. Raises `NotFound`."""
    found = progress_of([run_id]).get(run_id)
    if found is None:
        raise NotFound("run", run_id)
    return found


def progress_of(run_ids: Collection[UUID]) -> dict[UUID, RunProgress]:
    """How far those runs have come, as far as there are any."""
    rows = db.execute(
        f"""
        SELECT r.id, r.status, r.attempt,
          (SELECT COALESCE(MAX(e.seq), 0) FROM run_event e WHERE e.run_id = r.id)
        FROM run r WHERE {db.among("r.id", "run_ids")}
        """,
        {"run_ids": db.hexes(run_ids)},
    ).fetchall()
    return {db.uuid(id): RunProgress(RunStatus(status), *more) for id, status, *more in rows}


def made_with(key: str) -> UUID | None:
    """The run that was first made with that idempotency key."""
    run: Run | None = Run.select(Run.id).where(Run.idempotency_key == key).get_or_none()
    return None if run is None else run.id
