"""What budgets have left, and the reserving of it for runs that are made.

A ledger locks the budgets that cover some runs, and their current periods, until its transaction
ends: what is reserved and spent was never more than a limit when a run was admitted, however many
admit runs at once. What is reserved for a run stands in its row; the database settles it when the
run ends (`run_settled`, the trigger of a migration).

Runs are locked before budgets, budgets before periods, and each kind in the order of its key.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from shared import db
from shared.budgets import periods
from shared.budgets.periods import Span
from shared.db import stamp
from shared.fields import written
from shared.findings import dollars
from shared.states import Period, WhenSpent

# The agent or the schedule that an account is of, the latter in hexadecimal digits.
Covered = tuple[str | None, str | None]
# What a budget holds back for a run, as its row has it.
Reservation = dict[str, Any]

MICRO = Decimal(1_000_000)
# An agent's latest runs of known cost, the dearest of which tells what the next one may cost.
_LATEST = 50


class Refusal(NamedTuple):
    """A budget has no room for a run: what is to become of that, and why in a sentence."""

    when_spent: WhenSpent
    says: str


@dataclass
class Account:
    """A budget in its current period, and how much of it is *left*, in millionths of a dollar.

    It is of an agent or of a schedule; of neither, it is of the whole instance.
    """

    budget_id: str
    agent_id: str | None
    schedule_id: str | None
    period: Period
    span: Span
    limit: int
    a_run: int | None
    when_spent: WhenSpent
    left: int

    def has_room(self, micros: int) -> bool:
        """Whether so much can be reserved; of what is spent, not even nothing can."""
        return self.left > 0 and micros <= self.left

    def refusal(self, micros: int) -> Refusal:
        """Why a run that may cost so much is not to be had."""
        left = f"{_dollars(self.left)} left" if self.left > 0 else "nothing left"
        but = f", and a run may cost {_dollars(micros)}" if self.left > 0 else ""
        return Refusal(
            self.when_spent,
            f"The budget of {self._whose()}, {_dollars(self.limit)} a {self.period.lower()}, has"
            f" {left} until {written(self.span.ends_at)}{but}. (Budget {db.uuid(self.budget_id)})",
        )

    def _whose(self) -> str:
        if self.schedule_id is not None:
            return f"schedule {db.uuid(self.schedule_id)}"
        return "the whole instance" if self.agent_id is None else f"agent {self.agent_id}"

    def reserve(self, micros: int) -> Reservation:
        """Take so much of what is left, room or not."""
        self.left -= micros
        return {"budget": self.budget_id, "from": stamp(self.span.starts_at), "micros": micros}


class Ledger:
    """The accounts that cover some runs, and what a run of each agent may cost."""

    def __init__(self, accounts: Iterable[Account], may_cost: Mapping[str, int]) -> None:
        self._accounts: dict[Covered, list[Account]] = defaultdict(list)
        for account in accounts:
            self._accounts[account.agent_id, account.schedule_id].append(account)
        self._may_cost = may_cost

    def refusal(self, agent_id: str, schedule_id: UUID | str | None) -> Refusal | None:
        """Why a run is not to be had. None: each budget that covers it has room for it."""
        refusals = [
            account.refusal(micros)
            for account, micros in self._asked(agent_id, schedule_id)
            if not account.has_room(micros)
        ]
        # Who says no goes before who asks.
        refusals.sort(key=lambda each: each.when_spent is WhenSpent.PAUSE)
        return refusals[0] if refusals else None

    def reserve(self, agent_id: str, schedule_id: UUID | str | None) -> list[Reservation]:
        """Reserve in each budget that covers a run what that may cost, room or not.

        To be written into the row of the run, and then counted by `count`.
        """
        asked = self._asked(agent_id, schedule_id)
        return [account.reserve(micros) for account, micros in asked]

    def _asked(self, agent_id: str, schedule_id: UUID | str | None) -> list[tuple[Account, int]]:
        """The accounts that cover a run, and what is asked of each."""
        keys: list[Covered] = [(None, None), (agent_id, None)]
        if schedule_id is not None:
            keys.append((None, db.uuid_hex(schedule_id)))
        return [
            (account, self._may_cost[agent_id] if account.a_run is None else account.a_run)
            for key in keys
            for account in self._accounts.get(key, ())
        ]


_COVERING = """
    WITH covered AS (SELECT * FROM {covered} d)
    SELECT b.id, b.agent_id, b.schedule_id, b.period, b.timezone, b.limit_usd, b.run_usd,
      b.when_spent
    FROM budget b
    WHERE b.scope = 'INSTANCE' OR b.agent_id IN (SELECT agent_id FROM covered)
      OR b.schedule_id IN (SELECT schedule_id FROM covered)
    ORDER BY b.id {locking}
"""
_COVERED = {"agent_id": "text", "schedule_id": "uuid"}
_COUNTS = """
    SELECT p.budget_id, p.spent_micros + p.reserved_micros
    FROM budget_period p JOIN {current} d
      ON d.budget_id = p.budget_id AND d.starts_at = p.starts_at
    ORDER BY p.budget_id {locking}
"""
_BEGIN = """
    INSERT INTO budget_period
      (budget_id, starts_at, ends_at, spent_micros, reserved_micros, unpriced_runs)
    SELECT budget_id, starts_at, ends_at, 0, 0, 0 FROM {current} d
"""
_CURRENT = {"budget_id": "uuid", "starts_at": "utc", "ends_at": "utc"}
_MAY_COST = """
    SELECT d.agent_id, (
      SELECT MAX(cost_usd) FROM (
        SELECT run.cost_usd FROM run {by_cost}
        WHERE run.agent_id = d.agent_id AND run.cost_usd IS NOT NULL
        ORDER BY run.id DESC LIMIT {latest}
      ) latest
    )
    FROM {agents} d
"""
_RESERVE = """
    UPDATE budget_period SET reserved_micros = budget_period.reserved_micros + d.micros
    FROM {sums} d
    WHERE budget_period.budget_id = d.budget_id AND budget_period.starts_at = d.starts_at
"""
_SUMS = {"budget_id": "uuid", "starts_at": "utc", "micros": "bigint"}


def opened(covered: Collection[tuple[str, UUID | str | None]], *, now: datetime) -> Ledger | None:
    """The ledger of the budgets that cover runs of those agents and schedules, locked.

    None: there are no budgets at all. To be called in a transaction.
    """
    if not covered or db.execute("SELECT 1 FROM budget LIMIT 1").fetchone() is None:
        return None
    pairs = [
        {"agent_id": agent_id, "schedule_id": schedule_id and db.uuid_hex(schedule_id)}
        for agent_id, schedule_id in covered
    ]
    rows = db.execute(
        _COVERING.format(
            covered=db.rows("covered", _COVERED), locking=db.locking("FOR NO KEY UPDATE OF b")
        ),
        {"covered": json.dumps(pairs)},
    ).fetchall()
    accounts = [_account(row, now) for row in rows]
    taken = _taken(accounts)
    for account in accounts:
        account.left -= taken.get(account.budget_id, 0)
    learns = any(account.a_run is None for account in accounts)
    return Ledger(accounts, _may_cost({agent_id for agent_id, _ in covered}) if learns else {})


def hold(run_id: UUID, reserved: list[Reservation]) -> None:
    """Write what is reserved for a run that exists into its row, and count it."""
    if reserved:
        sql = "UPDATE run SET reserved = :reserved WHERE id = :id"
        db.execute(sql, {"id": run_id.hex, "reserved": json.dumps(reserved)})
        count([reserved])


def count(reserved: Iterable[list[Reservation]]) -> None:
    """Count what is reserved for runs that were made, in the transaction that made them."""
    sums: Counter[tuple[str, str]] = Counter()
    for reservations in reserved:
        for each in reservations:
            sums[each["budget"], each["from"]] += each["micros"]
    if not sums:
        return
    rows = [
        {"budget_id": budget_id, "starts_at": starts_at, "micros": micros}
        for (budget_id, starts_at), micros in sums.items()
    ]
    db.execute(_RESERVE.format(sums=db.rows("sums", _SUMS)), {"sums": json.dumps(rows)})


def micros(usd: Any) -> int:
    """What a driver gave back for an amount of US dollars, in millionths of one."""
    return round(Decimal(str(usd)) * MICRO)


def _account(row: tuple[Any, ...], now: datetime) -> Account:
    id, agent_id, schedule_id, period, timezone, limit_usd, run_usd, when_spent = row
    return Account(
        budget_id=db.uuid_hex(id),
        agent_id=agent_id,
        schedule_id=schedule_id and db.uuid_hex(schedule_id),
        period=Period(period),
        span=periods.current(Period(period), timezone, now),
        limit=micros(limit_usd),
        a_run=None if run_usd is None else micros(run_usd),
        when_spent=WhenSpent(when_spent),
        left=micros(limit_usd),
    )


def _taken(accounts: list[Account]) -> dict[str, int]:
    """What is spent and reserved of each in its period, which is there and locked afterwards."""
    current = [
        {
            "budget_id": each.budget_id,
            "starts_at": stamp(each.span.starts_at),
            "ends_at": stamp(each.span.ends_at),
        }
        for each in accounts
    ]
    rows = db.execute(
        _COUNTS.format(
            current=db.rows("current", _CURRENT), locking=db.locking("FOR NO KEY UPDATE OF p")
        ),
        {"current": json.dumps(current)},
    ).fetchall()
    taken = {db.uuid_hex(id): int(count) for id, count in rows}
    # Nobody else begins them meanwhile, for that takes the budget.
    fresh = [each for each in current if each["budget_id"] not in taken]
    if fresh:
        sql = _BEGIN.format(current=db.rows("current", _CURRENT))
        db.execute(sql, {"current": json.dumps(fresh)})
    return taken


def _may_cost(agent_ids: Collection[str]) -> dict[str, int]:
    """What the next run of each agent may cost, by its latest; nothing, if none has told."""
    rows = db.execute(
        _MAY_COST.format(
            agents=db.rows("agents", {"agent_id": "text"}),
            by_cost=db.indexed_by("run_priced"),
            latest=_LATEST,
        ),
        {"agents": json.dumps([{"agent_id": each} for each in sorted(agent_ids)])},
    ).fetchall()
    return {agent_id: micros(dearest or 0) for agent_id, dearest in rows}


def _dollars(micros: int) -> str:
    return dollars(Decimal(micros) / MICRO)
