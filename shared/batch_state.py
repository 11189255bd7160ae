"""How batches are doing: their lists, and one of them in full, as the wire has it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from math import sqrt
from typing import Any, NamedTuple
from uuid import UUID

from shared import db, listing, pace, processes
from shared.batch_models import Batch, BatchProgress
from shared.errors import NotFound
from shared.estimates import Estimate, Measured, Range
from shared.fields import written
from shared.findings import count, in_words
from shared.listing import Listing
from shared.pages import Page, Paging
from shared.states import BatchReason, BatchStatus
from shared.wire import camel

# So many items must have ended for what they cost to say more than what others did.
_LEAST_MEASURED = 5

_ORDERS = (
    *("name", "agent_id", "status", "reason", "priority", "max_concurrency", "budget_usd"),
    *("timeout_seconds", "max_attempts", "retry_backoff_seconds", "deadline", "notify_agent_id"),
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


def get(batch_id: UUID, *, now: datetime) -> dict[str, Any]:
    """The batch. Raises `NotFound`."""
    row = BATCHES.get(batch_id)
    if row is None:
        raise NotFound("batch", batch_id)
    (shown,) = _shown([_state(row)], now)
    return shown


def page(filters: Mapping[str, Any], paging: Paging, *, now: datetime) -> tuple[Page, list[Any]]:
    """The batches that pass *filters*, the newest first: the page, and what it shows."""
    found = BATCHES.page(listing.searching(filters), paging)
    return found, _shown([_state(row) for row in found.rows], now)


def several(batch_ids: Collection[UUID], *, now: datetime) -> dict[UUID, dict[str, Any]]:
    """Those batches, as far as there are any."""
    rows = (BATCHES.get(batch_id) for batch_id in batch_ids)
    states = [_state(row) for row in rows if row is not None]
    return dict(zip((each.id for each in states), _shown(states, now), strict=True))


def _state(row: Sequence[Any]) -> State:
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
        retry_of=state.retry_of and db.uuid(state.retry_of),
        samples=[(at, ended) for at, ended in db.json_value(state.samples)],
        **values,
    )


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
        "estimatedCost": _estimated_cost(batch),
        "actualCost": _actual_cost(batch),
        "interruptions": {
            "count": batch.interruptions,
            "costUsd": _usd(batch.interrupted_micros if batch.price_per_hour is not None else None),
        },
        "computeConfiguration": {**batch.compute, "ranOn": ran_on},
        **{
            camel(name): getattr(batch, name)
            for name in (
                *("max_concurrency", "budget_usd", "timeout_seconds", "max_attempts"),
                *("retry_backoff_seconds", "priority", "notify_agent_id"),
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
    match batch.status:
        case BatchStatus.PAUSED if batch.reason is BatchReason.BUDGET_SPENT:
            return (
                f"Its budget of {batch.budget_usd:.2f} USD is spent; resume it with a larger"
                " `budgetUsd`."
            )
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
    if batch.ending_at is not None:
        return "It ends as soon as what runs of it has stopped."
    if not batch.agent_enabled:
        return f"Nothing more of it starts: agent {batch.agent_id} is disabled."
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


def _estimated_cost(batch: State) -> dict[str, Any]:
    """What it will have cost in the end, by what is known now, beside what was said before."""
    before = Estimate.from_json(batch.estimate)
    expected, says = before.range, before.says
    spent = (batch.agent_micros + batch.compute_micros) / 1_000_000
    left = batch.total - batch.ended
    if batch.finished_at is not None and _is_known(batch):
        expected = Range(spent, spent)
    elif batch.measured >= _LEAST_MEASURED and _is_known(batch):
        expected = Range(spent, spent) + _own(batch).range_of(left)
    elif expected is not None:
        expected = Range(spent, spent) + expected.times(left / batch.total)
    return {
        "lowUsd": expected and round(expected.low, 6),
        "highUsd": expected and round(expected.high, 6),
        "note": says if expected is None or before.range is not None else None,
        "beforeItRan": {
            "lowUsd": before.range and round(before.range.low, 6),
            "highUsd": before.range and round(before.range.high, 6),
        },
    }


def _own(batch: State) -> Measured:
    """What its own items have cost."""
    mean = (batch.agent_micros + batch.compute_micros - batch.interrupted_micros) / batch.measured
    variance = max(batch.squared_micros / batch.measured - mean * mean, 0.0)
    return Measured(batch.measured, mean / 1_000_000, sqrt(variance) / 1_000_000)


def _is_known(batch: State) -> bool:
    """Whether anything is known of what its items cost."""
    return bool(batch.costed or batch.price_per_hour)


def _actual_cost(batch: State) -> dict[str, Any]:
    reports_none = batch.measured and not batch.costed
    of_agent = None if reports_none else batch.agent_micros
    computed = None if batch.price_per_hour is None else batch.compute_micros
    # What costs nothing says nothing of the rest.
    known = of_agent is not None or bool(batch.price_per_hour)
    return {
        "usd": _usd((of_agent or 0) + (computed or 0) if known else None),
        "agentUsd": _usd(of_agent),
        "computeUsd": _usd(computed),
    }


def _usd(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def _written(at: datetime | None) -> str | None:
    return None if at is None else written(at)
