"""How budgets are doing: their list, and one of them, as the wire has it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import db
from shared.budgets import periods
from shared.budgets.ledger import MICRO, micros
from shared.budgets.periods import Span
from shared.db import stamp
from shared.errors import NotFound
from shared.fields import written
from shared.listing import Listing
from shared.pages import Page, Paging, Row
from shared.states import Period

BUDGETS = Listing(
    table="budget b",
    key="b.id",
    columns={
        name: f"b.{name}"
        for name in (
            *("id", "scope", "agent_id", "schedule_id", "period", "timezone", "limit_usd"),
            *("run_usd", "when_spent", "created_at", "updated_at", "version"),
        )
    },
    filters={
        "scope": "b.scope = :scope",
        "agent_id": "b.agent_id = :agent_id",
        "schedule_id": "b.schedule_id = :schedule_id",
        "period": "b.period = :period",
    },
    orders={"limitUsd": "b.limit_usd", "createdAt": "b.created_at", "updatedAt": "b.updated_at"},
)

_COUNTS = """
    SELECT p.budget_id, p.spent_micros, p.reserved_micros, p.unpriced_runs
    FROM budget_period p JOIN {current} d
      ON d.budget_id = p.budget_id AND d.starts_at = p.starts_at
"""
_CURRENT = {"budget_id": "uuid", "starts_at": "utc"}
_NOTHING = (0, 0, 0)


def get(budget_id: UUID, *, now: datetime) -> dict[str, Any]:
    """The budget. Raises `NotFound`."""
    row = BUDGETS.get(budget_id)
    if row is None:
        raise NotFound("budget", budget_id)
    (shown,) = _shown([row], now)
    return shown


def page(filters: Mapping[str, Any], paging: Paging, *, now: datetime) -> tuple[Page, list[Any]]:
    """The budgets that pass *filters*, the newest first: the page, and what it shows."""
    found = BUDGETS.page(filters, paging)
    return found, _shown(found.rows, now)


def _shown(rows: list[Row], now: datetime) -> list[dict[str, Any]]:
    named = [dict(zip(BUDGETS.columns, row, strict=True)) for row in rows]
    spans = [periods.current(Period(each["period"]), each["timezone"], now) for each in named]
    current = [
        {"budget_id": db.uuid_hex(each["id"]), "starts_at": stamp(span.starts_at)}
        for each, span in zip(named, spans, strict=True)
    ]
    counted = db.execute(
        _COUNTS.format(current=db.rows("current", _CURRENT)), {"current": json.dumps(current)}
    ).fetchall()
    counts = {db.uuid(id): count for id, *count in counted}
    return [
        _as_json(each, span, *counts.get(db.uuid(each["id"]), _NOTHING))
        for each, span in zip(named, spans, strict=True)
    ]


def _as_json(
    budget: Mapping[str, Any], span: Span, spent: int, reserved: int, unpriced_runs: int
) -> dict[str, Any]:
    limit, run_usd = micros(budget["limit_usd"]), budget["run_usd"]
    schedule_id = budget["schedule_id"]
    return {
        "id": str(db.uuid(budget["id"])),
        "scope": budget["scope"],
        "agentId": budget["agent_id"],
        "scheduleId": schedule_id and str(db.uuid(schedule_id)),
        "period": budget["period"],
        "timezone": budget["timezone"],
        "limitUsd": _usd(limit),
        "runUsd": None if run_usd is None else _usd(micros(run_usd)),
        "whenSpent": budget["when_spent"],
        "spentUsd": _usd(spent),
        "reservedUsd": _usd(reserved),
        "remainingUsd": _usd(max(limit - spent - reserved, 0)),
        "unpricedRuns": unpriced_runs,
        "periodStartsAt": written(span.starts_at),
        "periodEndsAt": written(span.ends_at),
        "createdAt": written(db.instant(budget["created_at"])),
        "updatedAt": written(db.instant(budget["updated_at"])),
        "version": budget["version"],
    }


def _usd(amount: int) -> float:
    return float(amount / MICRO)
