"""/budgets: what runs may cost in a day or a month."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, examples, reading, work
from api.blueprint import Blueprint
from api.rendering import answer
from api.schemas.budgets import (
    BudgetQuerySchema,
    BudgetSchema,
    ChangedBudgetSchema,
    NewBudgetSchema,
    ReplacedBudgetSchema,
)
from api.schemas.pages import page_of
from shared import audit, db
from shared.audit import Changes
from shared.budgets import moves, view
from shared.pages import Paging
from shared.states import Role

blp = Blueprint("budgets", writes=Role.ADMIN, says="What runs may cost in a day or a month.")


@blp.route("")
class Budgets(MethodView):
    """All budgets."""

    @blp.query(BudgetQuerySchema)
    @blp.answers(200, page_of(BudgetSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List budgets

        The newest first, unless `sort` says otherwise. Each with what its current period has come
        to.
        """
        page, shown = view.page(filters, paging, now=work.now())
        return answer(
            {
                "content": shown,
                "number": page.number,
                "size": page.size,
                "totalElements": page.total,
                "totalPages": page.pages,
            }
        )

    @blp.body(NewBudgetSchema, example=examples.NEW_BUDGET)
    @blp.answers(201, BudgetSchema, example=examples.BUDGET)
    def post(self, fields: dict[str, Any]) -> Response:
        """Make a budget

        There is one for each agent, schedule or the instance, and period. It counts runs that are
        made from then on, but no items of batches: a batch has a budget of its own.
        """
        now = work.now()
        with db.transaction():
            budget_id = moves.create(fields, now=now)
            _record("create", budget_id, audit.made(fields))
            shown = view.get(budget_id, now=now)
        return _tagged(shown, 201, {"Location": f"/api/v1/budgets/{budget_id}"})


@blp.route("/<uuid:budget_id>")
class Budget(MethodView):
    """One budget."""

    @blp.answers(200, BudgetSchema, example=examples.BUDGET)
    def get(self, budget_id: UUID) -> Response:
        """Get a budget

        With what its current period has come to.
        """
        return _tagged(view.get(budget_id, now=work.now()))

    @blp.body(ReplacedBudgetSchema, example=examples.NEW_BUDGET)
    @blp.answers(200, BudgetSchema, example=examples.BUDGET)
    def put(self, fields: dict[str, Any], budget_id: UUID) -> Response:
        """Replace a budget

        Whose it is, its period and its zone stay; what is not named stays as it is, and so does
        what has been spent.
        """
        return _changed(budget_id, fields)

    @blp.body(ChangedBudgetSchema, example={"limitUsd": 10})
    @blp.answers(200, BudgetSchema, example=examples.BUDGET)
    def patch(self, fields: dict[str, Any], budget_id: UUID) -> Response:
        """Change a budget

        Changes only what is named. null resets what can be null.
        """
        return _changed(budget_id, fields)

    @blp.answers(204)
    def delete(self, budget_id: UUID) -> Response:
        """Delete a budget

        And what it has counted. Runs that wait for money go on waiting for a person.
        """
        with db.transaction():
            moves.delete(moves.locked(budget_id, version=reading.if_match()))
            _record("delete", budget_id)
        return Response(status=204)


def _changed(budget_id: UUID, fields: Mapping[str, Any]) -> Response:
    now = work.now()
    with db.transaction():
        budget = moves.locked(budget_id, version=reading.if_match())
        changes = moves.change(budget, fields, now=now)
        if changes:
            _record("update", budget_id, changes)
        shown = view.get(budget_id, now=now)
    return _tagged(shown)


def _tagged(
    shown: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return answer(shown, status, {"ETag": f'"{shown["version"]}"', **(headers or {})})


def _record(action: str, budget_id: UUID, changes: Changes | None = None) -> None:
    audit.record(
        access.principal(), f"budget.{action}", ("budget", budget_id), changes, now=work.now()
    )
