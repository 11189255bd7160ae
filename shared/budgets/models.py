"""The tables of budgets (see `shared.models`)."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from peewee import (
    BigIntegerField,
    Check,
    CompositeKey,
    DecimalField,
    Field,
    ForeignKeyField,
    IntegerField,
    TextField,
    UUIDField,
)
from playhouse.fields import EnumField

from shared.db import Record, UtcDateTimeField
from shared.models import Agent, Schedule
from shared.states import BudgetScope, Period, WhenSpent


class Budget(Record):
    """What the runs of an agent, of a schedule or of the whole instance may cost in each period.

    Whose it is and how its periods are told apart never changes, for its counts go by that.
    """

    id = UUIDField(primary_key=True)
    scope: "Field[BudgetScope]" = EnumField(BudgetScope, max_length=16)
    agent = ForeignKeyField(Agent, null=True, on_delete="RESTRICT", index=False)
    agent_id: str | None
    schedule = ForeignKeyField(Schedule, null=True, on_delete="RESTRICT", index=False)
    schedule_id: UUID | None
    period: "Field[Period]" = EnumField(Period, max_length=16)
    timezone = TextField(default="UTC")
    limit_usd: "Field[Decimal]" = DecimalField(max_digits=14, decimal_places=6)
    # What is held back for each run; null: as much as the agent's dearest run of late.
    run_usd: "Field[Decimal | None]" = DecimalField(max_digits=14, decimal_places=6, null=True)
    when_spent: "Field[WhenSpent]" = EnumField(WhenSpent, max_length=16, default=WhenSpent.SKIP)
    version = IntegerField(default=1)
    created_at: "Field[datetime]" = UtcDateTimeField()
    updated_at: "Field[datetime]" = UtcDateTimeField()

    class Meta:
        constraints = (
            Check("(scope = 'AGENT') = (agent_id IS NOT NULL)", "budget_agent"),
            Check("(scope = 'SCHEDULE') = (schedule_id IS NOT NULL)", "budget_schedule"),
            Check("limit_usd > 0", "budget_limit"),
            # What is more fits in no period.
            Check("run_usd >= 0 AND run_usd <= limit_usd", "budget_run"),
        )


# One of a kind.
Budget.add_index(
    Budget.index(Budget.agent, Budget.period, name="budget_of_agent", unique=True, safe=False)
)
Budget.add_index(
    Budget.index(Budget.schedule, Budget.period, name="budget_of_schedule", unique=True, safe=False)
)
Budget.add_index(
    Budget.index(
        Budget.period,
        name="budget_of_instance",
        unique=True,
        where=Budget.scope == BudgetScope.INSTANCE,
        safe=False,
    )
)


class BudgetPeriod(Record):
    """What a budget has come to in one period, in millionths of a US dollar.

    `shared.budgets.ledger` counts what is reserved; when a run ends, a trigger of the database
    gives that back and counts what the run has cost, whoever ends it.
    """

    budget = ForeignKeyField(Budget, on_delete="CASCADE", index=False)
    budget_id: UUID
    starts_at: "Field[datetime]" = UtcDateTimeField()
    ends_at: "Field[datetime]" = UtcDateTimeField()
    spent_micros = BigIntegerField(default=0)
    reserved_micros = BigIntegerField(default=0)
    # Runs that were started and whose cost nobody knows.
    unpriced_runs = IntegerField(default=0)

    class Meta:
        primary_key = CompositeKey("budget", "starts_at")
        constraints = (
            # What was reserved is given back once.
            Check("reserved_micros >= 0", "budget_period_reserved"),
        )
