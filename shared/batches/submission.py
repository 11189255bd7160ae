"""The making of batches: their items come in by the thousand, and are seen all at once or never.

Items are written in short transactions, so that nobody waits for a long one; until the batch is
accepted it is nobody's business but that of whoever submits it. What is not accepted is discarded,
by its submitter or, should that have died, by a scheduler.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from peewee import fn

from shared import agents, compute, db, once, processes
from shared.batches import estimates
from shared.batches.estimates import Estimate
from shared.batches.models import Batch, BatchItem, BatchProgress, ComputeProfile
from shared.errors import Conflict, Invalid
from shared.idempotency import IdempotencyKey
from shared.ids import uuid7
from shared.models import Agent
from shared.states import ApprovalPolicy, BatchStatus

# One transaction writes so many items, or so many characters of them, whichever comes first.
_ITEMS_AT_ONCE, _CHARACTERS_AT_ONCE = 1000, 1_000_000
# Whoever submits something says so much more often.
ABANDONED_AFTER = timedelta(minutes=10)

_ITEM = {"item_index": "int", "item_key": "text", "message": "text", "metadata": "json"}
_DISCARDED_AT_ONCE = 2000


class Item(NamedTuple):
    """One message of a batch, perhaps with a name of its own there."""

    key: str | None
    message: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What is to be done with the items of a batch."""

    name: str
    agent_id: str
    compute: str = compute.LOCAL
    timeout_seconds: int | None = None
    max_attempts: int = 3
    retry_backoff_seconds: int = 30
    priority: int = 5
    approval_policy: ApprovalPolicy = ApprovalPolicy.WAIT
    approval_wait_seconds: int | None = None
    max_concurrency: int | None = None
    budget_usd: Decimal | None = None
    deadline: datetime | None = None
    notify_agent_id: str | None = None
    retry_of: UUID | None = None


@dataclass
class Submission:
    """A batch that is being submitted."""

    id: UUID
    orders: Orders
    agent: Agent
    profile: ComputeProfile
    threads: int
    items: int = 0

    def estimate(self) -> Estimate:
        """What it will cost, by what is known now."""
        with db.connection():
            return estimates.before(
                self.agent.id,
                self.items,
                compute=self.profile.id,
                price_per_hour=self.profile.price_per_hour,
                threads=self.threads,
            )


def check(orders: Orders, *, threads: int, now: datetime) -> Submission:
    """What *orders* come to, before anything is written. Raises `Invalid` or `Conflict`.

    *threads*: of a worker, while none is alive that would tell.
    """
    with db.transaction():
        agent, profile = _usable(orders, now)
        workers, alive = processes.crews(now).get(profile.queue, (0, 0))
    return Submission(
        uuid7(now), orders, agent, profile, round(alive / workers) if alive else threads
    )


def begin(submission: Submission, *, now: datetime) -> None:
    """Begin to write it. Nobody sees it yet."""
    orders, agent, profile = submission.orders, submission.agent, submission.profile
    timeout = orders.timeout_seconds
    with db.transaction():
        Batch.insert(
            id=submission.id,
            name=orders.name,
            status=BatchStatus.QUEUED,
            retry_of=orders.retry_of,
            agent_id=agent.id,
            kind=agent.kind,
            config=agent.config,
            compute=compute.configuration(profile),
            compute_id=profile.id,
            queue=profile.queue,
            price_per_hour=profile.price_per_hour,
            timeout_seconds=agent.timeout_seconds if timeout is None else timeout,
            max_attempts=orders.max_attempts,
            retry_backoff_seconds=orders.retry_backoff_seconds,
            priority=orders.priority,
            approval_policy=orders.approval_policy,
            approval_wait_seconds=orders.approval_wait_seconds,
            max_concurrency=orders.max_concurrency,
            budget_usd=orders.budget_usd,
            deadline=orders.deadline,
            notify_agent_id=orders.notify_agent_id,
            estimate={},
            samples=[],
            created_at=now,
            received_at=now,
        ).execute()
        BatchProgress.insert(batch=submission.id, moved_at=now).execute()


def write(submission: Submission, items: Iterable[Item], clock: Callable[[], datetime]) -> None:
    """Write *items* as the next ones. Raises what iterating over them raises."""
    for some in _chunks(items):
        rows = [
            {
                "item_index": index,
                "item_key": item.key,
                "message": item.message,
                "metadata": item.metadata,
            }
            for index, item in enumerate(some, start=submission.items)
        ]
        with db.transaction():
            _still_there(submission.id, clock())
            db.execute(
                f"""
                INSERT INTO batch_item (batch_id, item_index, item_key, message, metadata)
                SELECT :batch_id, d.item_index, d.item_key, d.message, d.metadata
                FROM {db.rows("rows", _ITEM)} d
                """,
                {"batch_id": submission.id.hex, "rows": json.dumps(rows)},
            )
        submission.items += len(rows)


def accept(submission: Submission, *, key: IdempotencyKey | None, now: datetime) -> UUID:
    """Have all see it, and its items run; its id, or that of the batch first made with *key*.

    To be called in a transaction. Raises `Conflict` if its agent was disabled meanwhile, `Invalid`
    on a key of another request.
    """
    if key is not None:
        once.hold(key)
        made = made_with(key)
        if made is not None:
            return made
    if not submission.items:
        raise Invalid({"items": ["Give at least one item."]})
    # They must still be usable, and stay so until it can be seen that a batch uses them.
    _usable(submission.orders, now)
    accepted: int = (
        Batch.update(
            accepted_at=now,
            received_at=now,
            estimate=submission.estimate().as_json(),
            idempotency_key=key and key.key,
            request_hash=key and key.request_hash,
        )
        .where(Batch.id == submission.id, Batch.accepted_at.is_null())
        .execute()
    )
    if not accepted:
        raise _discarded(submission.id)
    BatchProgress.update(total=submission.items, moved_at=now).where(
        BatchProgress.batch == submission.id
    ).execute()
    return submission.id


def made_with(key: IdempotencyKey) -> UUID | None:
    """The batch that was first made with *key*. Raises `Invalid` if that was another request."""
    made: Batch | None = Batch.get_or_none(Batch.idempotency_key == key.key)
    if made is None:
        return None
    key.check(made.request_hash)
    return made.id


def discard(batch_id: UUID) -> None:
    """Delete a batch that was not accepted, in short transactions."""
    unaccepted = Batch.id == batch_id, Batch.accepted_at.is_null()
    # By their places, for nothing is known yet of how a new batch's items are spread.
    sql = """
        DELETE FROM batch_item
        WHERE batch_id = :batch_id AND item_index >= :start AND item_index < :end
    """
    with db.connection():
        of_it = BatchItem.select(fn.MAX(BatchItem.item_index)).where(BatchItem.batch == batch_id)
        last = of_it.scalar()
    for start in range(0, 0 if last is None else last + 1, _DISCARDED_AT_ONCE):
        with db.transaction():
            if not Batch.select().where(*unaccepted).exists():
                return
            end = start + _DISCARDED_AT_ONCE
            db.execute(sql, {"batch_id": batch_id.hex, "start": start, "end": end})
    with db.transaction():
        Batch.delete().where(*unaccepted).execute()


def discard_abandoned(now: datetime) -> None:
    """Delete what somebody began to submit, and has not gone on with for long."""
    with db.connection():
        abandoned = Batch.select(Batch.id).where(
            Batch.finished_at.is_null(),
            Batch.accepted_at.is_null(),
            Batch.received_at < now - ABANDONED_AFTER,
        )
        ids = [batch.id for batch in abandoned]
    for batch_id in ids:
        discard(batch_id)


def _usable(orders: Orders, now: datetime) -> tuple[Agent, ComputeProfile]:
    """The agent and the profile of *orders*. Raises `Invalid` or `Conflict`."""
    mistakes: dict[str, list[str]] = {}
    for field_, agent_id in (
        ("agentId", orders.agent_id),
        ("notifyAgentId", orders.notify_agent_id),
    ):
        try:
            if agent_id is not None:
                agents.check_usable(agent_id, field=field_)
        except Invalid as error:
            mistakes |= error.fields
    try:
        profile = compute.usable(orders.compute)
    except Invalid as error:
        mistakes |= error.fields
    if orders.deadline is not None and orders.deadline <= now:
        mistakes["deadline"] = ["Give an instant that is still to come."]
    if mistakes:
        raise Invalid(mistakes)
    agent = Agent.get_by_id(orders.agent_id)
    if not agent.enabled:
        raise Conflict(f"Agent {agent.id} is disabled; enable it first.")
    return agent, profile


def _still_there(batch_id: UUID, now: datetime) -> None:
    """Say that items keep coming in. Raises `Conflict` if nobody believed so any more."""
    received: int = (
        Batch.update(received_at=now)
        .where(Batch.id == batch_id, Batch.accepted_at.is_null())
        .execute()
    )
    if not received:
        raise _discarded(batch_id)


def _discarded(batch_id: UUID) -> Conflict:
    return Conflict(f"Batch {batch_id} took too long to come in and was discarded; send it again.")


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    coming = iter(items)
    while some := list(islice(coming, 1)):
        characters = _length(some[0])
        while characters < _CHARACTERS_AT_ONCE and len(some) < _ITEMS_AT_ONCE:
            item = next(coming, None)
            if item is None:
                break
            some.append(item)
            characters += _length(item)
        yield some


def _length(item: Item) -> int:
    return len(item.message) + (len(json.dumps(item.metadata)) if item.metadata else 0)
