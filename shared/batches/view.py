"""How batches are doing: their lists, and one of them in full, as the wire has it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import db, listing, processes
from shared.batches import costs, pace
from shared.batches.row import BATCHES, State, read
from shared.errors import NotFound
from shared.fields import written
from shared.findings import count, dollars, in_words
from shared.pages import Page, Paging
from shared.states import BatchReason, BatchStatus
from shared.wire import camel


def get(batch_id: UUID, *, now: datetime) -> dict[str, Any]:
    """The batch. Raises `NotFound`."""
    row = BATCHES.get(batch_id)
    if row is None:
        raise NotFound("batch", batch_id)
    (shown,) = _shown([read(row)], now)
    return shown


def page(filters: Mapping[str, Any], paging: Paging, *, now: datetime) -> tuple[Page, list[Any]]:
    """The batches that pass *filters*, the newest first: the page, and what it shows."""
    found = BATCHES.page(listing.searching(filters), paging)
    return found, _shown([read(row) for row in found.rows], now)


def several(batch_ids: Collection[UUID], *, now: datetime) -> dict[UUID, dict[str, Any]]:
    """Those batches, as far as there are any."""
    rows = (BATCHES.get(batch_id) for batch_id in batch_ids)
    states = [read(row) for row in rows if row is not None]
    return dict(zip((each.id for each in states), _shown(states, now), strict=True))


def _shown(states: list[State], now: datetime) -> list[dict[str, Any]]:
    """What is to be seen of each batch."""
    ran_on = _ran_on([each.id for each in states])
    crews = processes.crews(now) if states else {}
    return [as_json(each, ran_on[each.id], manned=each.queue in crews, now=now) for each in states]


def _ran_on(batch_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What the workers that ran items of each batch really were, and how many of each kind."""
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for batch_id in batch_ids:
        rows = db.execute(
            "SELECT hardware, COUNT(*) FROM batch_worker WHERE batch_id = :id GROUP BY hardware",
            {"id": batch_id.hex},
        ).fetchall()
        found[batch_id] = [
            {**db.json_value(hardware), "workers": workers} for hardware, workers in rows
        ]
    return found


def as_json(
    batch: State, ran_on: list[dict[str, Any]], *, manned: bool, now: datetime
) -> dict[str, Any]:
    """*batch* as the wire has it: what it ran on, and whether its queue has a live worker."""
    left = _time_left(batch, now)
    return {
        "id": str(batch.id),
        "name": batch.name,
        "agentId": batch.agent_id,
        "status": batch.status.value,
        "note": note(batch, manned=manned, now=now),
        "progressPercentage": percentage(batch.ended, batch.total),
        "counts": batch.counts,
        "timeLeft": left
        and {
            "lowSeconds": round(left.low.total_seconds(), 1),
            "highSeconds": round(left.high.total_seconds(), 1),
        },
        "stalledSince": _written(batch.stalled_since),
        "estimatedCost": costs.estimated(batch),
        "actualCost": costs.actual(batch),
        "interruptions": costs.interruptions(batch),
        "computeConfiguration": {**batch.compute, "ranOn": ran_on},
        **{
            camel(name): getattr(batch, name)
            for name in (
                *("max_concurrency", "budget_usd", "timeout_seconds", "max_attempts"),
                *("retry_backoff_seconds", "priority", "approval_policy"),
                *("approval_wait_seconds", "notify_agent_id"),
            )
        },
        "deadline": _written(batch.deadline),
        "retryOf": batch.retry_of and str(batch.retry_of),
        "createdAt": _written(batch.created_at),
        "startedAt": _written(batch.started_at),
        "cancelRequestedAt": _written(batch.ending_at),
        "finishedAt": _written(batch.finished_at),
    }


def percentage(ended: int, total: int) -> float:
    """How much of a batch is done, in percent to one decimal: 100 only once all of it is."""
    return (1000 * ended // total) / 10


def note(batch: State, *, manned: bool, now: datetime) -> str | None:
    """What there is to say of how *batch* is doing, in a sentence. None: all is as it should be."""
    if batch.ending_at is not None and batch.finished_at is None:
        return "It ends as soon as what runs of it has stopped."
    match batch.status:
        case BatchStatus.PAUSED if batch.reason is BatchReason.BUDGET_SPENT:
            assert batch.budget_usd is not None
            budget = dollars(batch.budget_usd)
            return f"Its budget of {budget} is spent; resume it with a larger `budgetUsd`."
        case BatchStatus.PAUSED:
            return "It was paused on request."
        case BatchStatus.FAILED if batch.reason is BatchReason.DEADLINE_PASSED:
            not_done = batch.counts["cancelled"]
            return f"Its deadline passed before {count(not_done, 'item')} had been done."
        case BatchStatus.FAILED:
            return f"All of its {count(batch.failed, 'item')} failed."
        case BatchStatus.COMPLETED if batch.failed:
            says = f"{batch.failed} of {count(batch.total, 'item')} failed;"
            return f"{says} POST …/retry-failed runs them again, as a new batch."
        case BatchStatus.QUEUED | BatchStatus.RUNNING:
            return _note_on_going(batch, manned=manned, now=now)
    return None


def _note_on_going(batch: State, *, manned: bool, now: datetime) -> str | None:
    if not batch.agent_enabled:
        return f"Nothing more of it starts: agent {batch.agent_id} is disabled."
    counts = batch.counts
    if counts["paused"] and not counts["queued"] and not counts["running"]:
        says = f"{count(counts['paused'], 'item')} of it wait for a person: what they ask is at"
        return f"{says} GET …/runs?batchId={batch.id}&status=PAUSED."
    if not manned:
        says = f"No worker is alive for compute profile {batch.compute_id}:"
        return f"{says} start one with AGENT_MANAGER_COMPUTE={batch.compute_id}."
    if batch.stalled_since is not None:
        ago = in_words(now - batch.moved_at)
        says = f"Nothing of it has started or ended for {ago}, though there are workers:"
        return f"{says} they do other batches first, or its agent has no place free."
    return None


def _time_left(batch: State, now: datetime) -> pace.TimeLeft | None:
    if batch.status is not BatchStatus.RUNNING or batch.ending_at is not None:
        return None
    left = batch.total - batch.ended
    return pace.time_left(batch.samples, ended=batch.ended, left=left, now=now)


def _written(at: datetime | None) -> str | None:
    return None if at is None else written(at)
