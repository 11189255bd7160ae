"""Budgets made, changed and deleted; `ledger` reserves, and `view` shows them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import IntegrityError

from shared import agents, db
from shared.audit import Changes
from shared.budgets.models import Budget, BudgetPeriod
from shared.errors import Conflict, Invalid, NotFound, VersionMismatch
from shared.ids import uuid7
from shared.models import Schedule
from shared.states import BudgetScope, WhenSpent
from shared.wire import camel
from shared.zones import load_zone

EDITABLE = ("limit_usd", "run_usd", "when_spent")
#: What a budget's counts go by.
KEPT = ("scope", "agent_id", "schedule_id", "period", "timezone")
_DEFAULTS: Mapping[str, Any] = {
    "agent_id": None,
    "schedule_id": None,
    "timezone": "UTC",
    "run_usd": None,
    "when_spent": WhenSpent.SKIP,
}


def create(fields: Mapping[str, Any], *, now: datetime) -> UUID:
    """Make a budget of what *fields* name, which counts from *now* on; its id.

    Raises `Invalid`, or `Conflict` if there is one of that kind.
    """
    values = {**_DEFAULTS, **fields}
    _check_scope(values)
    _check_amounts(values["limit_usd"], values["run_usd"])
    load_zone(values["timezone"])
    budget_id = uuid7(now)
    try:
        with db.transaction():
            _check_target(values)
            Budget.insert(**values, id=budget_id, created_at=now, updated_at=now).execute()
    except IntegrityError:
        raise Conflict(
            f"There is a budget of this {values['scope'].lower()} for each"
            f" {values['period'].lower()} already; change that one."
        ) from None
    return budget_id


def locked(budget_id: UUID, *, version: int | None = None) -> Budget:
    """The budget, nobody else's until this transaction ends: meanwhile nothing is reserved in it.

    Raises `NotFound`, or `VersionMismatch` unless it is at *version*.
    """
    found = _locked(Budget.id == budget_id)
    if not found:
        raise NotFound("budget", budget_id)
    (budget,) = found
    if version is not None and version != budget.version:
        raise VersionMismatch(
            f"Budget {budget_id} is at version {budget.version} now, no longer at {version}."
        )
    return budget


def change(budget: Budget, fields: Mapping[str, Any], *, now: datetime) -> Changes:
    """Change what *fields* name of a budget that is locked; what that changed. Raises `Invalid`."""
    moved = [name for name in KEPT if name in fields and fields[name] != getattr(budget, name)]
    if moved:
        raise Invalid(
            {camel(name): ["A budget keeps this; make another, and delete it."] for name in moved}
        )
    before = {name: getattr(budget, name) for name in EDITABLE}
    after = {**before, **{name: fields[name] for name in EDITABLE if name in fields}}
    changes = {name: (before[name], after[name]) for name in EDITABLE}
    changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
    if changes:
        _check_amounts(after["limit_usd"], after["run_usd"])
        edits = {name: new for name, (_, new) in changes.items()}
        Budget.update(**edits, version=budget.version + 1, updated_at=now).where(
            Budget.id == budget.id
        ).execute()
    return {camel(name): pair for name, pair in changes.items()}


def delete(budget: Budget) -> None:
    """Delete a budget that is locked, and its counts. What runs is bound by it no more."""
    if not db.is_sqlite():
        # In the order in which those lock them who settle runs.
        periods = BudgetPeriod.select().where(BudgetPeriod.budget == budget.id)
        list(periods.order_by(BudgetPeriod.starts_at).for_update())
    Budget.delete().where(Budget.id == budget.id).execute()


def delete_of_schedule(schedule_id: UUID) -> None:
    """Delete the budgets of a schedule that is deleted."""
    for budget in _locked(Budget.schedule == schedule_id):
        delete(budget)


def _locked(condition: Any) -> list[Budget]:
    query = Budget.select().where(condition).order_by(Budget.id)
    return list(query if db.is_sqlite() else query.for_update())


def _check_scope(values: Mapping[str, Any]) -> None:
    """Raise `Invalid` unless what the budget is of is named, and nothing else is."""
    wanted = {BudgetScope.AGENT: "agent_id", BudgetScope.SCHEDULE: "schedule_id"}
    wrong = {}
    for scope, name in wanted.items():
        if values["scope"] is scope and values[name] is None:
            wrong[camel(name)] = [f"Must be given with the scope {scope}."]
        elif values["scope"] is not scope and values[name] is not None:
            wrong[camel(name)] = [f"Goes with the scope {scope} only."]
    if wrong:
        raise Invalid(wrong)


def _check_amounts(limit_usd: Decimal, run_usd: Decimal | None) -> None:
    if run_usd is not None and run_usd > limit_usd:
        raise Invalid({"runUsd": ["Must not be more than limitUsd: no run would ever have room."]})


def _check_target(values: Mapping[str, Any]) -> None:
    """Raise `Invalid` unless what the budget is of exists until this transaction ends."""
    if values["agent_id"] is not None:
        agents.check_usable(values["agent_id"])
    if values["schedule_id"] is not None:
        query = Schedule.select().where(
            Schedule.id == values["schedule_id"], Schedule.deleted_at.is_null()
        )
        if not db.is_sqlite():
            query = query.for_update("FOR SHARE")  # type: ignore[arg-type] # as in runs
        if query.get_or_none() is None:
            says = f"There is no schedule {values['schedule_id']}; GET /schedules lists them."
            raise Invalid({"scheduleId": [says]})
