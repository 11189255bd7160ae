"""Batches and their items, as they are listed and shown."""

from enum import StrEnum

from marshmallow import Schema, fields

from api.schemas.pages import ListQuerySchema, searched, sorted_by
from shared.batches.items import ITEMS
from shared.batches.row import BATCHES
from shared.fields import (
    CamelSchema,
    choice,
    described,
    instant,
    text,
    uuid,
)
from shared.states import ApprovalPolicy, BatchStatus, RunStatus


class Format(StrEnum):
    """How results are written."""

    JSONL = "jsonl"
    CSV = "csv"


class ItemCountsSchema(Schema):
    """How many items are what; together, but for the total, they are all."""

    total = fields.Integer(metadata=described("All of them."))
    queued = fields.Integer(metadata=described("Those that wait for their turn."))
    running = fields.Integer(metadata=described("Those that run."))
    paused = fields.Integer(metadata=described("Those that wait for a person."))
    completed = fields.Integer(metadata=described("Those that were done."))
    failed = fields.Integer(metadata=described("Those that failed for good."))
    cancelled = fields.Integer(metadata=described("Those that were dropped."))


def _usd(description: str) -> fields.Float:
    return fields.Float(allow_none=True, metadata=described(f"{description} null: nobody knows."))


class RangeSchema(CamelSchema):
    """Between which amounts of US dollars something will cost."""

    low_usd = _usd("As little as this;")
    high_usd = _usd("or as much as this;")

    note = fields.String(
        allow_none=True, metadata=described("Why nobody knows, or what is not in it.")
    )


class EstimatedCostSchema(RangeSchema):
    """What it will have cost in the end, by what is known now."""

    before_it_ran = fields.Nested(RangeSchema, metadata=described("What was said at first."))


class EstimateSchema(RangeSchema):
    """What a batch would cost."""

    measured_runs = fields.Integer(metadata=described("By how many runs of the agent."))


class ActualCostSchema(CamelSchema):
    """What it has cost up to now."""

    usd = _usd("All of it;")
    agent_usd = _usd("What its agent reported;")
    compute_usd = _usd("The time that its items took on machines;")


class InterruptionsSchema(CamelSchema):
    """Attempts that were put back because their machine was taken away."""

    count = fields.Integer(metadata=described("How many; none counts against `maxAttempts`."))
    cost_usd = _usd("What the time cost that was lost;")


class TimeLeftSchema(CamelSchema):
    """How long it will take yet, by how fast its items end."""

    low_seconds = fields.Float(metadata=described("As little as this."))
    high_seconds = fields.Float(metadata=described("Or as much as this."))


class HardwareSchema(CamelSchema):
    """What some of its workers really were."""

    instance_type = fields.String(allow_none=True, metadata=described("What they were told."))
    region = fields.String(allow_none=True, metadata=described("Where they were told to be."))
    machine = fields.String(metadata=described("The architecture.", "x86_64"))
    vcpu = fields.Float(metadata=described("Processors that they may use."))
    memory_mb = fields.Integer(allow_none=True, metadata=described("Memory, in MiB."))
    threads = fields.Integer(metadata=described("Items that each ran at a time, at most."))
    workers = fields.Integer(metadata=described("How many there were of this kind."))


class ConfigurationSchema(CamelSchema):
    """The compute profile as it was when the batch was submitted, and what it ran on."""

    id = fields.String(metadata=described("The profile."))
    queue = fields.String(metadata=described("The queue of its workers."))
    instance_type = fields.String(
        allow_none=True, metadata=described("What its provider calls the machine.")
    )
    region = fields.String(allow_none=True, metadata=described("Where the machine is."))
    vcpu = fields.Float(allow_none=True, metadata=described("Its virtual processors."))
    memory_mb = fields.Integer(allow_none=True, metadata=described("Its memory, in MiB."))
    spot = fields.Boolean(metadata=described("Whether it may be taken away at short notice."))
    price_per_hour = _usd("What a machine costs an hour;")
    max_workers = fields.Integer(
        allow_none=True, metadata=described("How many workers to ask for, at most.")
    )
    ran_on = fields.List(fields.Nested(HardwareSchema), metadata=described("What it ran on."))


class BatchSchema(CamelSchema):
    """Many messages for one agent, submitted together."""

    id = uuid("Its id; ids sort as time does.")
    name = fields.String(metadata=described("What people call it."))
    agent_id = fields.String(metadata=described("The agent that is run."))
    status = choice(BatchStatus, "Where it is in its life.")
    note = fields.String(
        allow_none=True, metadata=described("What there is to say of how it is doing.")
    )
    progress_percentage = fields.Float(
        metadata=described("How many of its items have ended, in percent; it never falls.", 37.5)
    )
    counts = fields.Nested(ItemCountsSchema, metadata=described("How many items are what."))
    time_left = fields.Nested(
        TimeLeftSchema,
        allow_none=True,
        metadata=described("How long it will take yet; null: nobody knows."),
    )
    stalled_since = instant("Since when nothing of it has started or ended.", allow_none=True)
    estimated_cost = fields.Nested(
        EstimatedCostSchema, metadata=described("What it will have cost in the end.")
    )
    actual_cost = fields.Nested(ActualCostSchema, metadata=described("What it has cost up to now."))
    interruptions = fields.Nested(
        InterruptionsSchema, metadata=described("How often a machine was taken away.")
    )
    compute_configuration = fields.Nested(
        ConfigurationSchema, metadata=described("The machines that it was to run on, and did.")
    )
    max_concurrency = fields.Integer(
        allow_none=True, metadata=described("How many items may run at once; null: any number.")
    )
    budget_usd = fields.Float(
        allow_none=True, metadata=described("What it may cost, in US dollars; null: whatever.")
    )
    timeout_seconds = fields.Integer(metadata=described("How long an attempt may take."))
    max_attempts = fields.Integer(metadata=described("How often an item is started, at most."))
    retry_backoff_seconds = fields.Integer(
        metadata=described("How long to wait after a failed attempt; doubles each time.")
    )
    priority = fields.Integer(metadata=described("From 0 to 9; the highest go first."))
    approval_policy = choice(
        ApprovalPolicy, "What becomes of items that ask a person: they wait, go on, or fail."
    )
    approval_wait_seconds = fields.Integer(
        allow_none=True, metadata=described("How long they wait for a person; null: for ever.")
    )
    notify_agent_id = fields.String(
        allow_none=True, metadata=described("The agent that is run when there is notice to give.")
    )
    deadline = instant("When what has not been done is dropped.", allow_none=True)
    retry_of = uuid("The batch whose failed items it runs again.", allow_none=True)
    created_at = instant("When it was submitted.")
    started_at = instant("When the first of its items started.", allow_none=True)
    cancel_requested_at = instant("Since when it is to end before its time.", allow_none=True)
    finished_at = instant("When the last of its items ended.", allow_none=True)


class EstimatedSchema(CamelSchema):
    """What a batch would come to, of which only the estimate was wanted."""

    items = fields.Integer(metadata=described("How many items it would have."))
    first_message = fields.String(metadata=described("What the agent would be told for the first."))
    estimated_cost = fields.Nested(EstimateSchema, metadata=described("What it would cost."))
    compute_configuration = fields.Nested(
        ConfigurationSchema, metadata=described("The machines that it would run on.")
    )


class BatchQuerySchema(ListQuerySchema):
    """Which batches."""

    listing = BATCHES

    sort = sorted_by(BATCHES)
    status = fields.List(
        choice(BatchStatus, "A status."), metadata=described("Only those in one of these statuses.")
    )
    agent_id = text(64, "Only those of this agent.")
    compute = text(64, "Only those on this compute profile.")
    q = searched("Only those whose name contains this.")
    since = instant("Only those submitted then or later.", data_key="from")
    until = instant("Only those submitted before.", data_key="to")


class ItemQuerySchema(ListQuerySchema):
    """Which items."""

    listing = ITEMS

    status = fields.List(
        choice(RunStatus, "A status."), metadata=described("Only those in one of these statuses.")
    )


class ResultQuerySchema(ListQuerySchema):
    """How to write results."""

    listing = ITEMS

    format = choice(Format, "JSON Lines, or CSV.", load_default=Format.JSONL)

    class Meta(ListQuerySchema.Meta):
        exclude = ("page", "size")


class BatchItemSchema(CamelSchema):
    """One message of a batch, and what became of it."""

    index = fields.Integer(metadata=described("Its place in the batch, counted from 0."))
    key = fields.String(allow_none=True, metadata=described("Its name there."))
    status = choice(RunStatus, "Where it is in its life.")
    run_id = uuid("The run that it has become; null: none.", allow_none=True)
    message = fields.String(metadata=described("What the agent is told."))
    metadata = fields.Dict(metadata=described("Whatever was to be kept with it."))
    content = fields.String(allow_none=True, metadata=described("What the agent answered."))
    error = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        allow_none=True,
        metadata=described("Why it failed: a `code` and a `message`."),
    )
    attempt = fields.Integer(metadata=described("How often it was started."))
    cost_usd = fields.Float(allow_none=True, metadata=described("What its agent reported."))
    compute_usd = fields.Float(allow_none=True, metadata=described("What its time cost."))
    started_at = instant("When its latest attempt started.", allow_none=True)
    finished_at = instant("When it ended.", allow_none=True)
