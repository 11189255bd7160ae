"""Budgets."""

from decimal import Decimal
from typing import Any

from marshmallow import fields, pre_load

from api.schemas.orders import LARGEST_BUDGET
from api.schemas.pages import ListQuerySchema, sorted_by
from shared.budgets.view import BUDGETS
from shared.fields import CamelSchema, amount, choice, described, instant, text, uuid, without
from shared.states import BudgetScope, Period, WhenSpent
from shared.wire import camel
from shared.zones import LONGEST_NAME


class ChangedBudgetSchema(CamelSchema):
    """A budget to be changed. What is not named stays as it is."""

    limit_usd = amount(
        Decimal("0.000001"), LARGEST_BUDGET, "What its runs may cost in a period, in US dollars."
    )
    run_usd = amount(
        Decimal(0),
        LARGEST_BUDGET,
        "What is reserved for each run until its cost is known; null: as much as the dearest of its"
        " agent's latest runs, and nothing while no cost of that agent is known.",
        allow_none=True,
    )
    when_spent = choice(
        WhenSpent,
        "What becomes of a run for which there is no room. `SKIP`: a fire time is skipped, a"
        " request refused. `PAUSE`: the run waits for a person to continue or cancel it.",
    )


class NewBudgetSchema(ChangedBudgetSchema):
    """A budget to be made. It counts the runs that are made from then on."""

    scope = choice(BudgetScope, "Whose runs it is for.", required=True)
    agent_id = text(64, "The agent, with the scope `AGENT`.", "finance_agent", allow_none=True)
    schedule_id = uuid("The schedule, with the scope `SCHEDULE`.", allow_none=True)
    period = choice(Period, "How long the money is to last.", required=True)
    timezone = text(
        LONGEST_NAME, "The IANA name of the zone whose days and months count.", "Europe/Berlin"
    )
    limit_usd = amount(
        Decimal("0.000001"),
        LARGEST_BUDGET,
        "What its runs may cost in a period, in US dollars.",
        required=True,
    )


class ReplacedBudgetSchema(NewBudgetSchema):
    """A budget to be replaced. What is not named stays as it is.

    Whose it is, its period and its zone stay. What cannot be written may be sent back, and is
    ignored.
    """

    @pre_load
    def _without_what_is_read_only(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return without(READ_ONLY, data)


class BudgetSchema(NewBudgetSchema):
    """What the runs of an agent, of a schedule or of the whole instance may cost in a period.

    The amounts are those of the current period.
    """

    id = uuid("Its id.")
    spent_usd = fields.Float(metadata=described("What runs of this period have cost."))
    reserved_usd = fields.Float(metadata=described("What is held back for runs under way."))
    remaining_usd = fields.Float(metadata=described("What further runs may cost."))
    unpriced_runs = fields.Integer(
        metadata=described("Runs of this period that have ended and whose cost nobody knows.")
    )
    period_starts_at = instant("When the current period began.")
    period_ends_at = instant("When it ends, and the next one begins with nothing spent.")
    version = fields.Integer(metadata=described("How often it was saved; its `ETag`."))
    created_at = instant("When it was made.")
    updated_at = instant("When it was last saved.")

    class Meta:
        fields = (
            *("id", "scope", "agent_id", "schedule_id", "period", "timezone", "limit_usd"),
            *("run_usd", "when_spent", "spent_usd", "reserved_usd", "remaining_usd"),
            *("unpriced_runs", "period_starts_at", "period_ends_at", "created_at", "updated_at"),
            "version",
        )


READ_ONLY = frozenset(
    camel(name) for name in BudgetSchema().fields if name not in NewBudgetSchema().fields
)


class BudgetQuerySchema(ListQuerySchema):
    """Which budgets."""

    listing = BUDGETS

    sort = sorted_by(BUDGETS)
    scope = choice(BudgetScope, "Only those of this scope.")
    agent_id = text(64, "Only those of this agent.")
    schedule_id = uuid("Only those of this schedule.")
    period = choice(Period, "Only those of such periods.")
