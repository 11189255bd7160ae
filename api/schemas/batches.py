"""Batches: what may be asked for, and what there is."""

from decimal import Decimal
from enum import StrEnum
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.schemas.pages import ListQuerySchema, searched, sorted_by
from api.schemas.schedules import message
from shared.batches.items import ITEMS
from shared.batches.row import BATCHES
from shared.fields import (
    CamelSchema,
    amount,
    choice,
    described,
    flag,
    instant,
    json_object,
    number,
    text,
    uuid,
)
from shared.states import BatchStatus, RunStatus


class Format(StrEnum):
    """How results are written."""

    JSONL = "jsonl"
    CSV = "csv"


LARGEST_BUDGET = Decimal(10_000_000)
LONGEST_TEMPLATE = 64 * 1024
# Of so many items it is said what is wrong with them.
_MOST_MISTAKES = 20


class OrdersSchema(CamelSchema):
    """What is to be done with the items of a batch."""

    name = text(200, "What people call it.", "Letters of March", required=True)
    agent_id = text(64, "Which agent to run.", "finance_agent", required=True)
    compute = text(64, "On which compute profile; by default `local`.", "spot-large")
    max_concurrency = number(
        1, 100_000, "How many items may run at once; null: any number.", allow_none=True
    )
    budget_usd = amount(
        Decimal("0.000001"),
        LARGEST_BUDGET,
        "What it may cost, in US dollars: once it has, it pauses.",
        allow_none=True,
    )
    timeout_seconds = number(
        1, 86_400, "How long an attempt may take; null: as long as its agent says.", allow_none=True
    )
    max_attempts = number(1, 20, "How often an item is started, at most.")
    retry_backoff_seconds = number(
        0, 86_400, "How long to wait after a failed attempt; doubles each time."
    )
    priority = number(0, 9, "Of batches on one compute profile, the highest go first.")
    deadline = instant("When what has not been done is dropped.", allow_none=True)
    notify_agent_id = text(
        64,
        "An agent that is run when the batch ends, stands still or has spent its budget; one of"
        " kind `http` is a signed webhook.",
        "ops_webhook",
        allow_none=True,
    )
    dry_run = flag("Only say what it would cost.", load_default=False)


class ItemSchema(CamelSchema):
    """One message of a batch."""

    key = fields.String(
        allow_none=True,
        validate=validate.Length(1, 255, error="Give a text of 1 to 255 characters."),
        error_messages={"invalid": "Give a text."},
        metadata=described("Its name in the batch, of your choosing.", "customer-17"),
    )
    message = message("What to tell the agent.", required=True)
    metadata = json_object("Anything worth keeping with it.", load_default=dict)


class NewBatchSchema(OrdersSchema):
    """A batch to be submitted, with all of its items."""

    items = fields.List(
        fields.Nested(ItemSchema, error_messages={"null": "Give a JSON object."}),
        required=True,
        validate=validate.Length(1, error="Give at least one item."),
        error_messages={
            "required": "Must be given.",
            "null": "Must not be null.",
            "invalid": "Give a list of items.",
        },
        metadata=described("Its items, in order."),
    )

    @validates_schema
    def _keys_are_unique(self, data: dict[str, Any], **_: Any) -> None:
        seen: dict[str, int] = {}
        for index, item in enumerate(data["items"]):
            key = item.get("key")
            if key is not None and seen.setdefault(key, index) != index:
                says = f"It has the key of item {seen[key]}; keys are unique in a batch."
                raise ValidationError({"items": {index: {"key": [says]}}})

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> None:
        """Name each item that is wrong by its place."""
        mistakes = error.messages_dict
        if isinstance(mistakes.get("items"), dict):
            for index, of_item in list(mistakes.pop("items").items())[:_MOST_MISTAKES]:
                named = of_item if isinstance(of_item, dict) else {"_schema": of_item}
                for name, says in named.items():
                    path = f"items.{index}" if name == "_schema" else f"items.{index}.{name}"
                    mistakes[path] = says


class UploadSchema(OrdersSchema):
    """A batch whose items are in a file, `items`: CSV or JSON Lines, sent after all other fields.

    What the file is, its name says (`.csv`, `.jsonl`, `.ndjson`), or else its content type.
    """

    template = text(
        LONGEST_TEMPLATE,
        "What to tell the agent, with `{{ column }}` for what each line has there; by default each"
        " line has a `message`. A `key` is its name, and all else becomes its metadata.",
        "Write a letter to {{ name }}.",
    )
    delimiter = fields.String(
        validate=validate.OneOf([",", ";", "\t", "|"], error="Give , ; | or a tab."),
        load_default=",",
        metadata=described("What stands between the columns of a CSV."),
    )


class UploadFormSchema(UploadSchema):
    """The form that an upload is; its file is read as it comes, and by no schema."""

    items = fields.Raw(
        required=True,
        metadata={
            "type": "string",
            "format": "binary",
            **described("The file; the last part of the form."),
        },
    )


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


class EstimatedCostSchema(RangeSchema):
    """What it will have cost in the end, by what is known now."""

    note = fields.String(
        allow_none=True, metadata=described("Why nobody knows, or what is not in it.")
    )
    before_it_ran = fields.Nested(RangeSchema, metadata=described("What was said at first."))


class EstimateSchema(RangeSchema):
    """What a batch would cost."""

    note = fields.String(
        allow_none=True, metadata=described("Why nobody knows, or what is not in it.")
    )
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


class ResumedSchema(CamelSchema):
    """How to go on with a batch that pauses."""

    budget_usd = amount(
        Decimal("0.000001"),
        LARGEST_BUDGET,
        "What it may cost from now on, what it has cost included.",
        load_default=None,
    )
