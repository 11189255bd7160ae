"""Schedules: what may be asked for, and what there is."""

from typing import Any

from marshmallow import (
    ValidationError,
    fields,
    pre_load,
    validate,
    validates,
    validates_schema,
)

from api.schemas.pages import ListQuerySchema, searched, sorted_by
from shared import cron
from shared.errors import CronError, Invalid
from shared.fields import (
    CamelSchema,
    at_most_bytes,
    choice,
    described,
    flag,
    instant,
    json_object,
    number,
    text,
    uuid,
    without,
)
from shared.schedules import DEFAULTS, SCHEDULES
from shared.states import ApprovalPolicy, CatchUp, Overlap, RunStatus, SessionPolicy
from shared.wire import camel

LONGEST_MESSAGE = 256 * 1024


def message(description: str, **options: Any) -> fields.String:
    """What an agent is told."""
    field = text(
        LONGEST_MESSAGE, description, "Generate a summary of today's sales data", **options
    )
    field.validators.append(at_most_bytes(LONGEST_MESSAGE))
    return field


def approval_policy(**options: Any) -> fields.Enum[Any]:
    """What becomes of a run that asks a person."""
    return choice(
        ApprovalPolicy,
        "What becomes of a run whose agent wants to do what takes approval, or asks a question: it"
        " waits for a person, is denied that and goes on, or fails.",
        **options,
    )


def approval_wait_seconds(**options: Any) -> fields.Integer:
    """How long it waits for one."""
    return number(
        1,
        31_536_000,
        "How long it waits for a person before it fails; null: for ever.",
        allow_none=True,
        **options,
    )


class NewScheduleSchema(CamelSchema):
    """A schedule to be made. `name`, `agentId`, `message` and one of `cronExpression` and `runAt`
    are all it needs."""

    name = text(200, "What people call it.", "Daily Sales Summary", required=True)
    agent_id = text(64, "Which agent to run.", "finance_agent", required=True)
    message = message("What to tell the agent.", required=True)
    cron_expression = text(
        1000,
        "When to run: minute, hour, day of month, month and day of week, as cron reads them.",
        "0 8 * * *",
        allow_none=True,
    )
    run_at = instant("Instead of `cronExpression`: the one instant to run at.", allow_none=True)
    enabled = flag("Whether it fires.")
    timezone = text(64, "The IANA zone in which the expression is read.", "Europe/Berlin")
    start_at = instant("It does not fire before.", allow_none=True)
    end_at = instant("It does not fire after.", allow_none=True)
    overlap_policy = choice(
        Overlap, "What becomes of a fire time that comes while the run before goes on."
    )
    catch_up_policy = choice(CatchUp, "Which of the fire times that passed unseen still run.")
    catch_up_window_seconds = number(
        0, 2_592_000, "How old a fire time that passed unseen may be to still run."
    )
    jitter_seconds = number(0, 3600, "By how much, at most, a run starts later than it could.")
    timeout_seconds = number(
        1, 86_400, "How long an attempt may take; null: as long as its agent says.", allow_none=True
    )
    max_attempts = number(1, 20, "How often a run is started, at most.")
    retry_backoff_seconds = number(
        0, 86_400, "How long to wait after a failed attempt; doubles each time."
    )
    priority = number(0, 9, "Of runs that wait, those of the highest priority go first.")
    keep_last = number(
        1,
        10_000,
        "How many of its ended runs are kept, besides those of the last day; null: as many as"
        " there are.",
        allow_none=True,
    )
    session_policy = choice(
        SessionPolicy,
        "What a run knows of those before it: nothing (`FRESH`), all that was said (`SHARED`), or"
        " the last answer (`LAST_OUTPUT`).",
    )
    approval_policy = approval_policy()
    approval_wait_seconds = approval_wait_seconds()
    paused_overlaps = flag("Whether a run that waits for a person counts as one that goes on.")
    tags = fields.List(
        text(64, "A tag."),
        validate=validate.Length(max=20, error="Give at most 20 tags."),
        error_messages={"invalid": "Give a list of texts.", "null": "Must not be null."},
        metadata=described("Words to find it by.", ["finance"]),
    )

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Spell the field as the wire does, and say what a new schedule has by default."""
        super().on_bind_field(field_name, field_obj)
        default = DEFAULTS.get(field_name)
        if type(self) is NewScheduleSchema and default is not None:
            field_obj.metadata = {**field_obj.metadata, "default": default}

    @validates("cron_expression")
    def _is_an_expression(self, value: str | None, **_: Any) -> None:
        try:
            if value is not None:
                cron.parse(value)
        except CronError as error:
            raise ValidationError(str(error)) from None

    @validates("timezone")
    def _is_a_zone(self, value: str, **_: Any) -> None:
        try:
            cron.load_zone(value)
        except Invalid as error:
            raise ValidationError(error.fields["timezone"]) from None

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _fires(self, _: Any, asked: dict[str, Any], partial: bool, **__: Any) -> None:
        if not partial and asked.get("cronExpression") is None and asked.get("runAt") is None:
            raise ValidationError(
                "Give cronExpression, or runAt for a single run.", "cronExpression"
            )


class ReplacedScheduleSchema(NewScheduleSchema):
    """A schedule to be replaced: what a new one needs. What is not named stays as it is.

    What cannot be written may be sent back, and is ignored.
    """

    @pre_load
    def _without_what_is_read_only(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return without(READ_ONLY, data)


class ChangedScheduleSchema(NewScheduleSchema):
    """What is to change of a schedule. null resets what can be null."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"partial": True} | options)


class LastRunSchema(CamelSchema):
    """The latest run of a schedule."""

    run_id = uuid("Its id.")
    status = choice(RunStatus, "Where it is in its life.")
    scheduled_for = instant(
        "The fire time that it is for; null: it was triggered by hand.", allow_none=True
    )
    started_at = instant("When its latest attempt started.", allow_none=True)
    finished_at = instant("When it ended.", allow_none=True)


class ScheduleSchema(NewScheduleSchema):
    """A standing order: this agent, this message, at these times, by these policies."""

    id = uuid("Its id.")
    description = fields.String(metadata=described("When it fires, in words.", "At 08:00"))
    error = fields.String(
        allow_none=True,
        metadata=described("Why it could not go on and was set aside; saving it brings it back."),
    )
    warning = fields.String(
        allow_none=True,
        metadata=described("What the latest check of its agent has found wrong; null: nothing."),
    )
    next_run_at = instant("Its next fire time; null: it has none, or is disabled.", allow_none=True)
    last_run = fields.Nested(
        LastRunSchema, allow_none=True, metadata=described("Its latest run, if that is kept.")
    )
    version = fields.Integer(metadata=described("How often it was saved; its `ETag`."))
    created_at = instant("When it was made.")
    updated_at = instant("When it was last saved.")

    class Meta:
        fields = (
            *("id", "name", "agent_id", "message", "cron_expression", "run_at", "enabled"),
            *("timezone", "start_at", "end_at", "overlap_policy", "catch_up_policy"),
            *("catch_up_window_seconds", "jitter_seconds", "timeout_seconds", "max_attempts"),
            *("retry_backoff_seconds", "priority", "keep_last", "session_policy"),
            *("approval_policy", "approval_wait_seconds", "paused_overlaps", "tags"),
            *("created_at", "updated_at"),
            *("next_run_at", "last_run", "description", "error", "warning", "version"),
        )


READ_ONLY = frozenset(
    camel(name) for name in ScheduleSchema().fields if name not in NewScheduleSchema().fields
)


class ScheduleQuerySchema(ListQuerySchema):
    """Which schedules."""

    listing = SCHEDULES

    sort = sorted_by(SCHEDULES)
    enabled = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        error_messages={"invalid": "Give true or false."},
        metadata=described("Only those that fire, or only those that do not."),
    )
    agent_id = text(64, "Only those of this agent.")
    tag = text(64, "Only those with this tag.")
    q = searched("Only those whose name contains this.")


class TriggerSchema(CamelSchema):
    """What to tell the agent this once."""

    message = message("Instead of the schedule's message.")
    metadata = json_object("Anything worth keeping with the run.", load_default=dict)


class TriggeredSchema(CamelSchema):
    """A run was made."""

    message = fields.String(metadata=described("A sentence.", "Schedule execution triggered."))
    run_id = uuid("The run's id.")


class PreviewSchema(CamelSchema):
    """An expression whose fire times are wanted."""

    cron_expression = text(1000, "The expression.", "0 8 * * *", required=True)
    timezone = text(64, "The zone.", "Europe/Berlin", load_default="UTC")
    after = instant("From when on; by default, now.")
    count = number(1, 100, "How many.", load_default=5)


class FireTimeSchema(CamelSchema):
    """An instant at which an expression fires."""

    at = instant("The instant.")
    local = fields.String(
        metadata=described("What the clocks show then.", "2027-01-31T08:00:00+01:00")
    )
    note = fields.String(
        allow_none=True, metadata=described("What a change of the clocks does to it.")
    )


class FireTimesSchema(CamelSchema):
    """What an expression means."""

    description = fields.String(metadata=described("When it fires, in words.", "At 08:00"))
    fire_times = fields.List(
        fields.Nested(FireTimeSchema), metadata=described("When it fires next, in order.")
    )


class ForecastOrdersSchema(NewScheduleSchema):
    """What decides how often a schedule runs and what that costs. `agentId` and one of
    `cronExpression` and `runAt` are all it needs."""

    class Meta(NewScheduleSchema.Meta):
        fields = (
            *("agent_id", "cron_expression", "run_at", "timezone", "start_at", "end_at"),
            "max_attempts",
        )


class CostRangeSchema(CamelSchema):
    """What some runs will cost, in US dollars: 19 times out of 20 within a range."""

    low = fields.Float(metadata=described("The least."))
    mean = fields.Float(metadata=described("As much as the measured runs cost on average."))
    high = fields.Float(metadata=described("The most."))
    worst = fields.Float(
        metadata=described("The most, if each run were started all of `maxAttempts` times.")
    )


class ForecastCostSchema(CamelSchema):
    """What the runs of a schedule will cost; null where nobody knows."""

    run = fields.Nested(CostRangeSchema, allow_none=True, metadata=described("One of them."))
    next_day = fields.Nested(
        CostRangeSchema, allow_none=True, metadata=described("Those of `runsNextDay`.")
    )
    next_30_days = fields.Nested(
        CostRangeSchema,
        allow_none=True,
        metadata=described("Those of `runsNext30Days`."),
    )
    based_on = fields.Integer(
        metadata=described("How many of the agent's latest runs said what they cost.")
    )
    note = fields.String(
        allow_none=True, metadata=described("What is not known, in a sentence; null: nothing.")
    )


class ForecastSchema(CamelSchema):
    """What a schedule will run and cost, if none of its fire times is skipped or missed."""

    since = instant(
        "From when on it is counted: now, or `startAt` if that is later.", data_key="from"
    )
    first_run_at = instant("Its first fire time; null: it has none.", allow_none=True)
    runs_per_day = fields.Float(
        metadata=described("How often it fires a day, on average over the 30 days or till `endAt`.")
    )
    runs_next_day = fields.Integer(metadata=described("How often it fires in the first 24 hours."))
    runs_next_30_days = fields.Integer(
        metadata=described("How often it fires in the first 30 days.")
    )
    cost_usd = fields.Nested(
        ForecastCostSchema, metadata=described("What its runs will cost, in US dollars.")
    )
