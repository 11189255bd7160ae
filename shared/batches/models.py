"""The tables of batches, and of the machines that they run on (see `shared.models`)."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import (
    SQL,
    BigIntegerField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DecimalField,
    DoubleField,
    Field,
    ForeignKeyField,
    IntegerField,
    JSONField,
    TextField,
    UUIDField,
)
from playhouse.fields import EnumField

from shared.db import Record, UtcDateTimeField
from shared.states import ApprovalPolicy, BatchReason, BatchStatus


class ComputeProfile(Record):
    """The machines that a batch may use: workers that are started for it take its queue's runs.

    A deleted profile keeps its row, for batches name it.
    """

    id = CharField(primary_key=True, max_length=64)
    description = TextField(default="")
    queue = CharField(max_length=64, unique=True)
    instance_type = TextField(null=True)
    region = TextField(null=True)
    vcpu = DoubleField(null=True)
    memory_mb = IntegerField(null=True)
    spot = BooleanField(default=False)
    # In US dollars, of one machine, which is one worker.
    price_per_hour: "Field[Decimal | None]" = DecimalField(
        max_digits=12, decimal_places=6, null=True
    )
    max_workers = IntegerField(null=True)
    version = IntegerField(default=1)
    created_at: "Field[datetime]" = UtcDateTimeField()
    updated_at: "Field[datetime]" = UtcDateTimeField()
    deleted_at: "Field[datetime | None]" = UtcDateTimeField(null=True)

    class Meta:
        constraints = (
            Check("price_per_hour >= 0", "compute_profile_price"),
            Check("max_workers > 0", "compute_profile_max_workers"),
            # Whoever consumes the queue of schedules consumes nothing else.
            Check("queue <> 'runs'", "compute_profile_not_runs"),
        )


class Batch(Record):
    """Many messages for one agent, submitted together.

    Its orders are a snapshot, as those of a run are. Until it is accepted its items are still
    coming in, and nobody gets to see it.
    """

    id = UUIDField(primary_key=True)
    name = TextField()
    status: "Field[BatchStatus]" = EnumField(BatchStatus, max_length=16)
    # Why it is in that status, where somebody or something put it there.
    reason: "Field[BatchReason | None]" = EnumField(BatchReason, max_length=32, null=True)
    retry_of = UUIDField(null=True)

    # What to do, and where.
    agent_id = CharField(max_length=64)
    kind = CharField(max_length=64)
    config: "Field[dict[str, Any]]" = JSONField()
    compute: "Field[dict[str, Any]]" = JSONField()
    compute_id = CharField(max_length=64)
    queue = CharField(max_length=64)
    price_per_hour: "Field[Decimal | None]" = DecimalField(
        max_digits=12, decimal_places=6, null=True
    )
    timeout_seconds = IntegerField()
    max_attempts = IntegerField()
    retry_backoff_seconds = IntegerField()
    priority = IntegerField()
    approval_policy: "Field[ApprovalPolicy]" = EnumField(
        ApprovalPolicy,
        max_length=8,
        constraints=[SQL("DEFAULT 'WAIT'")],
        default=ApprovalPolicy.WAIT,
    )
    approval_wait_seconds = IntegerField(null=True)
    max_concurrency = IntegerField(null=True)
    budget_usd: "Field[Decimal | None]" = DecimalField(max_digits=14, decimal_places=6, null=True)
    deadline: "Field[datetime | None]" = UtcDateTimeField(null=True)
    notify_agent_id = CharField(max_length=64, null=True)

    # What was said of its cost before anything ran, and what is measured while it runs.
    estimate: "Field[dict[str, Any]]" = JSONField(default=dict)
    samples: "Field[list[Any]]" = JSONField(default=list)
    sampled_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    stalled_since: "Field[datetime | None]" = UtcDateTimeField(null=True)

    # `received_at`: when the last of its items came in.
    created_at: "Field[datetime]" = UtcDateTimeField()
    received_at: "Field[datetime]" = UtcDateTimeField()
    accepted_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    ending_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    finished_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    idempotency_key = TextField(null=True)
    request_hash = TextField(null=True)

    class Meta:
        constraints = (
            # Ended is ended, and says when.
            Check(
                "(status IN ('QUEUED', 'RUNNING', 'PAUSED')) = (finished_at IS NULL)", "batch_ended"
            ),
            Check("status <> 'PAUSED' OR reason IS NOT NULL", "batch_paused"),
            Check("budget_usd > 0", "batch_budget"),
            Check("max_concurrency > 0", "batch_max_concurrency"),
        )


# What is to be attended to: few, however many there have been.
Batch.add_index(
    Batch.index(Batch.queue, name="batch_live", where=Batch.finished_at.is_null(), safe=False)
)
Batch.add_index(Batch.index(Batch.agent_id, Batch.id, name="batch_of_agent", safe=False))
Batch.add_index(
    Batch.index(
        Batch.idempotency_key,
        name="batch_idempotency_key",
        unique=True,
        where=Batch.idempotency_key.is_null(False),
        safe=False,
    )
)


class BatchProgress(Record):
    """How far a batch has come: written with every move of its runs, by a trigger of the database.

    So it is exact whoever moves them, and however many do at once. The first *taken* items have
    become runs; the last *dropped* never will. Amounts of money are in millionths of a US dollar.
    """

    batch = ForeignKeyField(Batch, primary_key=True, on_delete="CASCADE")
    batch_id: UUID
    total = IntegerField(default=0)
    taken = IntegerField(default=0)
    dropped = IntegerField(default=0)
    queued = IntegerField(default=0)
    running = IntegerField(default=0)
    paused = IntegerField(default=0)
    completed = IntegerField(default=0)
    failed = IntegerField(default=0)
    cancelled = IntegerField(default=0)

    # Runs that ended with a cost of their own; what they cost, and their machines.
    costed = IntegerField(default=0)
    agent_micros = BigIntegerField(default=0)
    compute_micros = BigIntegerField(default=0)
    # Of completed and failed runs, the sum of the squares of what each cost in all.
    squared_micros = DoubleField(default=0)
    # Attempts that were put back because their machine was taken away, and what those cost.
    interruptions = IntegerField(default=0)
    interrupted_micros = BigIntegerField(default=0)

    started_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    moved_at: "Field[datetime]" = UtcDateTimeField()

    class Meta:
        constraints = (
            # Each run is counted once, as what it is.
            Check(
                "taken = queued + running + paused + completed + failed + cancelled",
                "batch_progress_counts",
            ),
            Check("taken + dropped <= total", "batch_progress_total"),
        )


class BatchItem(Record):
    """One message of a batch, which becomes one run when its turn comes."""

    batch = ForeignKeyField(Batch, on_delete="CASCADE", index=False)
    batch_id: UUID
    item_index = IntegerField()
    item_key = TextField(null=True)
    message = TextField()
    metadata: "Field[dict[str, Any]]" = JSONField(default=dict)

    class Meta:
        primary_key = CompositeKey("batch", "item_index")


BatchItem.add_index(
    BatchItem.index(
        BatchItem.batch,
        BatchItem.item_key,
        name="batch_item_key",
        unique=True,
        where=BatchItem.item_key.is_null(False),
        safe=False,
    )
)


class BatchWorker(Record):
    """A worker that has run items of a batch, and what it really is."""

    batch = ForeignKeyField(Batch, on_delete="CASCADE", index=False)
    batch_id: UUID
    worker_id = CharField(max_length=128)
    hardware: "Field[dict[str, Any]]" = JSONField()

    class Meta:
        primary_key = CompositeKey("batch", "worker_id")
