"""The tables, and the constraints that keep them honest.

Migrations make them (`shared/migrations`); a test holds the two against each other.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import (
    SQL,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DecimalField,
    Field,
    ForeignKeyField,
    IntegerField,
    JSONField,
    TextField,
    UUIDField,
)
from playhouse.fields import EnumField

from shared.batches.models import Batch
from shared.db import Record, UtcDateTimeField
from shared.states import (
    ApprovalPolicy,
    CatchUp,
    CheckStatus,
    Overlap,
    Role,
    RunStatus,
    SessionPolicy,
    Trigger,
)


class Agent(Record):
    """Something that can be run: a kind, and a configuration that the kind validates.

    A deleted agent keeps its row, for its runs name it.
    """

    id = CharField(primary_key=True, max_length=64)
    name = TextField()
    description = TextField(default="")
    kind = CharField(max_length=64)
    config: "Field[dict[str, Any]]" = JSONField(default=dict)
    enabled = BooleanField(default=True)
    timeout_seconds = IntegerField(default=600)
    max_concurrency = IntegerField(null=True)
    version = IntegerField(default=1)
    created_at: "Field[datetime]" = UtcDateTimeField()
    updated_at: "Field[datetime]" = UtcDateTimeField()
    deleted_at: "Field[datetime | None]" = UtcDateTimeField(null=True)

    # What its latest check came to, and of which version (`shared.checks`): of an earlier one it
    # says nothing any more.
    check_status: "Field[CheckStatus | None]" = EnumField(CheckStatus, max_length=8, null=True)
    check_findings: "Field[list[dict[str, Any]] | None]" = JSONField(null=True)
    checked_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    checked_version = IntegerField(null=True)

    class Meta:
        constraints = (
            Check("timeout_seconds > 0", "agent_timeout"),
            Check("max_concurrency > 0", "agent_max_concurrency"),
        )


class Schedule(Record):
    """A standing order: this agent, this message, at these times, by these policies.

    `next_run_at` is the first fire time that no tick has seen; null when there is none. A deleted
    schedule keeps its row, for its history stays readable.
    """

    id = UUIDField(primary_key=True)
    name = TextField()
    agent = ForeignKeyField(Agent, backref="schedules", on_delete="RESTRICT", index=False)
    agent_id: str
    message = TextField()
    cron_expression = TextField(null=True)
    run_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    timezone = TextField(default="UTC")
    enabled = BooleanField(default=True)
    start_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    end_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    overlap_policy: "Field[Overlap]" = EnumField(Overlap, max_length=32, default=Overlap.SKIP)
    catch_up_policy: "Field[CatchUp]" = EnumField(CatchUp, max_length=32, default=CatchUp.LATEST)
    catch_up_window_seconds = IntegerField(default=3600)
    jitter_seconds = IntegerField(default=0)
    timeout_seconds = IntegerField(null=True)
    max_attempts = IntegerField(default=3)
    retry_backoff_seconds = IntegerField(default=30)
    priority = IntegerField(default=5)
    keep_last = IntegerField(null=True)
    session_policy: "Field[SessionPolicy]" = EnumField(
        SessionPolicy,
        max_length=16,
        default=SessionPolicy.FRESH,
        constraints=[SQL("DEFAULT 'FRESH'")],
    )
    approval_policy: "Field[ApprovalPolicy]" = EnumField(
        ApprovalPolicy,
        max_length=8,
        default=ApprovalPolicy.WAIT,
        constraints=[SQL("DEFAULT 'WAIT'")],
    )
    approval_wait_seconds = IntegerField(null=True)
    paused_overlaps = BooleanField(default=False, constraints=[SQL("DEFAULT FALSE")])
    tags: "Field[list[str]]" = JSONField(default=list)
    description = TextField(default="")
    error = TextField(null=True)
    next_run_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    last_run_id = UUIDField(null=True)
    idempotency_key = TextField(null=True)
    request_hash = TextField(null=True)
    version = IntegerField(default=1)
    created_at: "Field[datetime]" = UtcDateTimeField()
    updated_at: "Field[datetime]" = UtcDateTimeField()
    deleted_at: "Field[datetime | None]" = UtcDateTimeField(null=True)

    class Meta:
        constraints = (
            # It recurs or it happens once; there is no third way, nor both.
            Check("(cron_expression IS NULL) <> (run_at IS NULL)", "schedule_when"),
            Check("max_attempts > 0", "schedule_max_attempts"),
            Check("keep_last > 0", "schedule_keep_last"),
            # What is deleted never fires.
            Check("deleted_at IS NULL OR NOT enabled", "schedule_deleted"),
        )


# A tick reads what is due and nothing else.
Schedule.add_index(
    Schedule.index(Schedule.next_run_at, name="schedule_due", where=Schedule.enabled, safe=False)
)
Schedule.add_index(Schedule.index(Schedule.agent, name="schedule_agent", safe=False))


class Run(Record):
    """One execution of an agent, for one fire time or one request.

    What it was told to do is a snapshot: later edits of its schedule or agent do not reach it.
    A `MISSED` run stands for *missed_count* fire times from `scheduled_for` to `missed_until`.
    """

    id = UUIDField(primary_key=True)
    schedule = ForeignKeyField(
        Schedule, null=True, backref="runs", on_delete="RESTRICT", index=False
    )
    schedule_id: UUID | None
    # An item of a batch is known by its place in it.
    batch = ForeignKeyField(Batch, null=True, backref="runs", on_delete="RESTRICT", index=False)
    batch_id: UUID | None
    item_index = IntegerField(null=True)
    agent_id = CharField(max_length=64)
    # Of a check, the version of the agent that it looks at.
    agent_version = IntegerField(null=True)
    session_id = UUIDField()
    retry_of = UUIDField(null=True)
    trigger: "Field[Trigger]" = EnumField(Trigger, max_length=16)
    status: "Field[RunStatus]" = EnumField(RunStatus, max_length=16)

    # What to do.
    kind = CharField(max_length=64)
    config: "Field[dict[str, Any]]" = JSONField()
    message = TextField()
    metadata: "Field[dict[str, Any]]" = JSONField(default=dict)
    timeout_seconds = IntegerField()
    max_attempts = IntegerField()
    retry_backoff_seconds = IntegerField()
    priority = IntegerField()
    queue = CharField(max_length=64, default="runs")
    session_policy: "Field[SessionPolicy]" = EnumField(
        SessionPolicy,
        max_length=16,
        default=SessionPolicy.FRESH,
        constraints=[SQL("DEFAULT 'FRESH'")],
    )
    approval_policy: "Field[ApprovalPolicy]" = EnumField(
        ApprovalPolicy,
        max_length=8,
        default=ApprovalPolicy.WAIT,
        constraints=[SQL("DEFAULT 'WAIT'")],
    )
    approval_wait_seconds = IntegerField(null=True)

    # When. `dispatch_at`: from when its id is to be sent to Redis, for the first time or again;
    # `dispatches`: how often it has been sent since it was last queued.
    scheduled_for: "Field[datetime | None]" = UtcDateTimeField(null=True)
    missed_until: "Field[datetime | None]" = UtcDateTimeField(null=True)
    missed_count = IntegerField(null=True)
    queued_at: "Field[datetime]" = UtcDateTimeField()
    available_at: "Field[datetime]" = UtcDateTimeField()
    dispatch_at: "Field[datetime]" = UtcDateTimeField()
    dispatches = IntegerField(default=0)
    started_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    finished_at: "Field[datetime | None]" = UtcDateTimeField(null=True)

    # Who holds it, or held it last. `attempt` is the fence; `uncounted` are attempts that a drain
    # put back.
    attempt = IntegerField(default=0)
    uncounted = IntegerField(default=0)
    worker_id = CharField(max_length=128, null=True)
    leased_by = CharField(max_length=128, null=True)
    lease_until: "Field[datetime | None]" = UtcDateTimeField(null=True)
    cancel_requested_at: "Field[datetime | None]" = UtcDateTimeField(null=True)

    # What its agent asks a person while it is paused, until when, and what was answered.
    asks: "Field[list[dict[str, Any]] | None]" = JSONField(null=True)
    answers: "Field[dict[str, Any] | None]" = JSONField(null=True)
    answer_by: "Field[datetime | None]" = UtcDateTimeField(null=True)

    # What came of it.
    content = TextField(null=True)
    error: "Field[dict[str, str] | None]" = JSONField(null=True)
    model = TextField(null=True)
    # What its attempts have used up, all together.
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cache_read_tokens = IntegerField(null=True)
    cache_write_tokens = IntegerField(null=True)
    reasoning_tokens = IntegerField(null=True)
    requests = IntegerField(null=True)
    tool_calls = IntegerField(null=True)
    cost_usd: "Field[Decimal | None]" = DecimalField(max_digits=14, decimal_places=6, null=True)
    # As time on a machine, where that has a price.
    compute_usd: "Field[Decimal | None]" = DecimalField(max_digits=14, decimal_places=6, null=True)

    # What budgets hold back for it until it has ended: of each the id, the start of the period, and
    # how much (`shared.budgets.ledger`). A trigger of the database settles it.
    reserved: "Field[list[dict[str, Any]] | None]" = JSONField(null=True)

    idempotency_key = TextField(null=True)
    request_hash = TextField(null=True)

    class Meta:
        # One run for a fire time, whichever scheduler gets there first.
        indexes = ((("schedule", "scheduled_for"), True),)
        constraints = (
            # A run is running exactly as long as somebody holds it.
            Check("(status = 'RUNNING') = (leased_by IS NOT NULL)", "run_held"),
            Check("(leased_by IS NULL) = (lease_until IS NULL)", "run_lease"),
            # Ended is ended, and says when.
            Check(
                "(status IN ('QUEUED', 'RUNNING', 'PAUSED')) = (finished_at IS NULL)", "run_ended"
            ),
            # A run that kills its workers does so a bounded number of times.
            Check("attempt - uncounted <= max_attempts", "run_attempts"),
            Check("(status = 'MISSED') = (missed_count IS NOT NULL)", "run_missed"),
        )


# Dispatch reads the lines that queued runs wait in: one for each agent and priority.
Run.add_index(
    Run.index(
        Run.agent_id,
        Run.priority,
        Run.available_at,
        name="run_queued",
        where=Run.status == RunStatus.QUEUED,
        safe=False,
    )
)
# A run that was sent has taken one of its agent's places.
Run.add_index(
    Run.index(
        Run.agent_id,
        name="run_sent",
        where=(Run.status == RunStatus.QUEUED) & (Run.dispatches > 0),
        safe=False,
    )
)
# The reaper reads whose lease ran out, a heartbeat what its worker holds.
Run.add_index(
    Run.index(Run.lease_until, name="run_leased", where=Run.status == RunStatus.RUNNING, safe=False)
)
# Overlap asks whether a run of the schedule has not ended.
Run.add_index(
    Run.index(Run.schedule, name="run_active", where=Run.finished_at.is_null(), safe=False)
)
# A scheduler reads whom nobody has answered.
Run.add_index(
    Run.index(Run.answer_by, name="run_paused", where=Run.status == RunStatus.PAUSED, safe=False)
)
# One run for an item of a batch.
Run.add_index(
    Run.index(
        Run.batch,
        Run.item_index,
        name="run_of_batch",
        unique=True,
        where=Run.batch.is_null(False),
        safe=False,
    )
)
# Dispatch reads the items that have become runs and wait: never more than a few for each worker.
Run.add_index(
    Run.index(
        Run.batch,
        Run.available_at,
        name="run_item_queued",
        where=(Run.status == RunStatus.QUEUED) & Run.batch.is_null(False),
        safe=False,
    )
)
# What an agent's runs have cost lately.
Run.add_index(
    Run.index(
        Run.agent_id, Run.id, name="run_priced", where=Run.cost_usd.is_null(False), safe=False
    )
)
# History, newest first.
Run.add_index(Run.index(Run.schedule, Run.id, name="run_of_schedule", safe=False))
Run.add_index(Run.index(Run.agent_id, Run.id, name="run_of_agent", safe=False))
# What runs have used up is added up from this alone. No run is in it before its end, and no check.
Run.add_index(
    Run.index(
        Run.finished_at,
        Run.schedule,
        Run.agent_id,
        Run.model,
        Run.input_tokens,
        Run.output_tokens,
        Run.cost_usd,
        Run.compute_usd,
        name="run_costs",
        where=(
            Run.finished_at.is_null(False)
            & Run.started_at.is_null(False)
            & (Run.trigger != Trigger.CHECK)
        ),
        safe=False,
    )
)


class RunEvent(Record):
    """Something that happened in a run: an attempt failed, a line was logged."""

    run = ForeignKeyField(Run, backref="events", on_delete="CASCADE", index=False)
    seq = IntegerField()
    at: "Field[datetime]" = UtcDateTimeField()
    attempt = IntegerField()
    type = CharField(max_length=64)
    data: "Field[dict[str, Any]]" = JSONField(default=dict)

    class Meta:
        primary_key = CompositeKey("run", "seq")


class RunState(Record):
    """What an attempt has kept, for the next one to go on from (`shared.conversations`)."""

    run = ForeignKeyField(Run, primary_key=True, on_delete="CASCADE")
    run_id: UUID
    attempt = IntegerField()
    state = BlobField()
    used: "Field[dict[str, Any] | None]" = JSONField(null=True)


class Session(Record):
    """What was said in a conversation of several runs."""

    id = UUIDField(primary_key=True)
    agent_id = CharField(max_length=64)
    schedule_id: "Field[UUID | None]" = UUIDField(null=True)
    history = BlobField()
    size = IntegerField()
    turns = IntegerField()
    created_at: "Field[datetime]" = UtcDateTimeField()
    updated_at: "Field[datetime]" = UtcDateTimeField()


Session.add_index(Session.index(Session.agent_id, Session.id, name="session_of_agent", safe=False))


class Worker(Record):
    """A worker process that has been seen."""

    id = CharField(primary_key=True, max_length=128)
    host = TextField()
    pid = IntegerField()
    threads = IntegerField()
    queues: "Field[list[str]]" = JSONField()
    version = TextField()
    started_at: "Field[datetime]" = UtcDateTimeField()
    heartbeat_at: "Field[datetime]" = UtcDateTimeField()
    alive_until: "Field[datetime | None]" = UtcDateTimeField(null=True)
    threads_alive = IntegerField(null=True)
    consumers_alive = IntegerField(null=True)
    stopped_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    # The compute profile that it was started for, and what it really runs on.
    compute_id = CharField(max_length=64, null=True)
    hardware: "Field[dict[str, Any] | None]" = JSONField(null=True)


class Scheduler(Record):
    """A scheduler process that has been seen, and its last tick."""

    id = CharField(primary_key=True, max_length=128)
    host = TextField()
    pid = IntegerField()
    version = TextField()
    started_at: "Field[datetime]" = UtcDateTimeField()
    last_tick_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    last_tick_ms = IntegerField(null=True)
    last_tick_lag_ms = IntegerField(null=True)
    stopped_at: "Field[datetime | None]" = UtcDateTimeField(null=True)


class Tally(Record):
    """What a process has counted (`shared.tally`)."""

    process_id = CharField(primary_key=True, max_length=128)
    counts: "Field[dict[str, int]]" = JSONField()
    latest: "Field[dict[str, str]]" = JSONField()
    updated_at: "Field[datetime]" = UtcDateTimeField()


class ApiToken(Record):
    """Who may do what. The token itself is not kept, only its SHA-256."""

    id = UUIDField(primary_key=True)
    name = TextField()
    role: "Field[Role]" = EnumField(Role, max_length=16)
    prefix = CharField(max_length=16)
    token_hash = CharField(max_length=64, unique=True)
    created_at: "Field[datetime]" = UtcDateTimeField()
    expires_at: "Field[datetime | None]" = UtcDateTimeField(null=True)
    revoked_at: "Field[datetime | None]" = UtcDateTimeField(null=True)


class AuditEvent(Record):
    """Who did what. Only ever appended to."""

    id = UUIDField(primary_key=True)
    at: "Field[datetime]" = UtcDateTimeField()
    actor = TextField()
    token_id: "Field[UUID | None]" = UUIDField(null=True)
    action = CharField(max_length=64)
    resource_type = CharField(max_length=32)
    resource_id = TextField()
    changes: "Field[dict[str, Any]]" = JSONField(default=dict)


# One schedule, and one run, for an idempotency key.
for _made in (Schedule, Run):
    _made.add_index(
        _made.index(
            _made.idempotency_key,
            name=f"{_made._meta.table_name}_idempotency_key",
            unique=True,
            where=_made.idempotency_key.is_null(False),
            safe=False,
        )
    )
