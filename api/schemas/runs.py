"""Runs and their events."""

from marshmallow import fields, validate

from api.schemas.pages import ListQuerySchema, sorted_by
from api.schemas.schedules import approval_policy, approval_wait_seconds, message
from shared.fields import (
    CamelSchema,
    choice,
    described,
    flag,
    instant,
    json_object,
    number,
    text,
    uuid,
)
from shared.history import EVENTS, RUNS
from shared.states import ApprovalPolicy, ErrorCode, RunStatus, Trigger


def _count(says: str) -> fields.Integer:
    return fields.Integer(allow_none=True, metadata=described(says))


class MetricsSchema(CamelSchema):
    """What all attempts at a run used up; null is unknown."""

    input_tokens = _count("Tokens read by the model.")
    output_tokens = _count("Tokens written by the model.")
    total_tokens = _count("Both together.")
    cache_read_tokens = _count("Of those read, the ones that the provider had in its cache.")
    cache_write_tokens = _count("Of those read, the ones that it put into its cache.")
    reasoning_tokens = _count("Of those written, the ones that nobody gets to read.")
    requests = _count("Answers that the model gave.")
    tool_calls = _count("Calls of tools that were made.")
    cost_usd = fields.Float(allow_none=True, metadata=described("What it cost, in US dollars."))
    compute_usd = fields.Float(
        allow_none=True, metadata=described("What the time of an item cost on its machine.")
    )


class AskSchema(CamelSchema):
    """A call of a tool that a person is to approve, or to answer."""

    id = fields.String(metadata=described("By which it is answered.", "call_0"))
    tool = fields.String(metadata=described("The tool.", "refund_customer"))
    arguments = fields.Dict(metadata=described("What it is to be called with."))
    question = fields.String(
        allow_none=True,
        metadata=described("What is to be answered; null: the call is to be approved.", None),
    )


class RunSchema(CamelSchema):
    """One execution of an agent, for one fire time or one request."""

    run_id = uuid("Its id; ids sort as time does.", attribute="id")
    session_id = uuid("The conversation it belongs to.")
    agent_id = fields.String(metadata=described("The agent that it runs."))
    schedule_id = uuid("The schedule that it is of; null: it has none.", allow_none=True)
    batch_id = uuid("The batch that it is of; null: it has none.", allow_none=True)
    retry_of = uuid("The run that it repeats; null: it repeats none.", allow_none=True)
    trigger = choice(Trigger, "What made it.")
    status = choice(RunStatus, "Where it is in its life.")
    message = fields.String(metadata=described("What the agent is told."))
    content = fields.String(allow_none=True, metadata=described("What the agent answered."))
    asks = fields.List(
        fields.Nested(AskSchema),
        allow_none=True,
        metadata=described("While it is paused: what its agent wants to do; null: nothing."),
    )
    answer_by = instant("Until when it waits to be answered; null: for ever.", allow_none=True)
    error = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        allow_none=True,
        metadata=described(
            "Why it failed, pauses, was skipped or was missed: a `message`, and as `code` one of"
            f" {', '.join(ErrorCode)}.",
            {"code": "TIMEOUT", "message": "The agent did not answer within 600 seconds."},
        ),
    )
    scheduled_for = instant("The fire time that it is for; null: it is for none.", allow_none=True)
    missed_until = instant(
        "Of a gap of missed fire times, the last; `scheduledFor` is the first.", allow_none=True
    )
    missed_count = fields.Integer(
        allow_none=True, metadata=described("How many fire times the gap has.")
    )
    queued_at = instant("When it was queued, the latest time.")
    available_at = instant("From when on it may start.")
    started_at = instant("When its latest attempt started.", allow_none=True)
    finished_at = instant("When it ended.", allow_none=True)
    cancel_requested_at = instant("When it was asked to stop.", allow_none=True)
    duration_ms = fields.Integer(
        allow_none=True, metadata=described("How long its latest attempt took, once it has ended.")
    )
    attempt = fields.Integer(metadata=described("How often it was started."))
    max_attempts = fields.Integer(metadata=described("How often it is started, at most."))
    priority = fields.Integer(metadata=described("From 0 to 9; the highest go first."))
    timeout_seconds = fields.Integer(metadata=described("How long an attempt may take."))
    worker_id = fields.String(allow_none=True, metadata=described("The worker that holds it."))
    model = fields.String(allow_none=True, metadata=described("The model that answered."))
    metrics = fields.Nested(MetricsSchema, metadata=described("What it used up."))
    metadata = fields.Dict(metadata=described("Whatever was to be kept with it."))


class RunQuerySchema(ListQuerySchema):
    """Which runs."""

    listing = RUNS

    sort = sorted_by(RUNS)
    status = fields.List(
        choice(RunStatus, "A status."), metadata=described("Only those in one of these statuses.")
    )
    agent_id = text(64, "Only those of this agent.")
    schedule_id = uuid("Only those of this schedule.")
    batch_id = uuid("Only those of this batch.")
    trigger = choice(Trigger, "Only those made by this.")
    since = instant("Only those queued then or later.", data_key="from")
    until = instant("Only those queued before.", data_key="to")


class RunOfScheduleQuerySchema(RunQuerySchema):
    """Which runs of a schedule."""

    class Meta(ListQuerySchema.Meta):
        exclude = ("schedule_id", "batch_id")


class EventSchema(CamelSchema):
    """Something that happened in a run."""

    seq = fields.Integer(metadata=described("Its place in the run, counted from 1."))
    at = instant("When it happened.")
    attempt = fields.Integer(metadata=described("In which attempt."))
    type = fields.String(metadata=described("What kind of thing.", "attempt_failed"))
    data = fields.Dict(metadata=described("What there is to say about it."))


class EventQuerySchema(ListQuerySchema):
    """Which events."""

    listing = EVENTS


class NewRunSchema(CamelSchema):
    """A run without a schedule."""

    message = message("What to tell the agent.", required=True)
    metadata = json_object("Anything worth keeping with the run.", load_default=dict)
    session_id = uuid("The conversation to go on with; by default, a new one.", load_default=None)
    timeout_seconds = number(
        1, 86_400, "How long an attempt may take.", load_default=None, allow_none=True
    )
    max_attempts = number(1, 20, "How often it is started, at most.", load_default=3)
    priority = number(0, 9, "Of runs that wait, the highest go first.", load_default=5)
    approval_policy = approval_policy(load_default=ApprovalPolicy.WAIT)
    approval_wait_seconds = approval_wait_seconds(load_default=None)


class AnswerSchema(CamelSchema):
    """The answer to one of the calls that a paused run asks for."""

    id = text(200, "That of the call.", "call_0", required=True)
    approved = flag("Whether it is made; of a question: false, if nobody answers that.")
    says = text(
        4000,
        "The answer to a question; or what the agent is told of a call that is not made.",
        "Customer 4711.",
        load_default=None,
    )


class AnswersSchema(CamelSchema):
    """What a person says to a paused run."""

    approved = flag("Whether the calls are made that `answers` does not name.")
    says = text(
        4000,
        "The answer to the questions among them; or what the agent is told of those that are not"
        " made.",
        "Ask me again in May.",
    )
    answers = fields.List(
        fields.Nested(AnswerSchema),
        load_default=list,
        validate=validate.Length(max=100, error="Give at most 100 answers."),
        metadata=described("Answers to single calls."),
    )


class QueuedSchema(CamelSchema):
    """A run was made."""

    run_id = uuid("Its id.")
    status = choice(
        RunStatus,
        "`QUEUED`: it waits for a worker. `PAUSED`: a budget has no room for it, and it waits for a"
        " person to continue or cancel it.",
    )
