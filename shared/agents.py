"""The registry of what can be run: made, replaced, deleted and listed."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from shared import checks, db, kinds, listing
from shared.audit import Changes
from shared.batches.models import Batch
from shared.budgets.models import Budget
from shared.errors import Conflict, Invalid, NotFound, VersionMismatch
from shared.findings import count
from shared.listing import Listing
from shared.models import Agent, Schedule
from shared.pages import Page, Paging, Row
from shared.wire import camel

EDITABLE = (
    *("name", "description", "kind", "config", "enabled", "timeout_seconds"),
    "max_concurrency",
)
DEFAULTS = {name: Agent._meta.columns[name].default for name in EDITABLE} | {"config": {}}

AGENTS = Listing(
    table="agent a",
    key="a.id",
    columns={
        **listing.read(Agent, "a", "id", *EDITABLE, "version", "created_at", "updated_at"),
        "check.status": checks.STATUS,
        "check.checked_at": listing.text("a.checked_at"),
        "check.findings": listing.text("a.check_findings"),
    },
    where="a.deleted_at IS NULL",
    filters={
        "enabled": "a.enabled = :enabled",
        "kind": "a.kind = :kind",
        "q": listing.like("a.name", "q"),
    },
    orders={"id": "a.id", "name": "a.name", "createdAt": "a.created_at"}
    | {"updatedAt": "a.updated_at"},
    newest_first=False,
)


def get(agent_id: str) -> Row:
    """The row of the agent. Raises `NotFound`."""
    row = AGENTS.get(agent_id)
    if row is None:
        raise NotFound("agent", agent_id)
    return row


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The agents that pass *filters*, by id."""
    return AGENTS.page(listing.searching(filters), paging)


def kinds_in_use() -> list[str]:
    """The kinds of the agents that may be run."""
    in_use = Agent.select(Agent.kind).where(Agent.enabled, Agent.deleted_at.is_null()).distinct()
    return sorted(agent.kind for agent in in_use)


def check_usable(agent_id: str, *, field: str = "agentId") -> None:
    """Raise `Invalid`, naming *field*, unless the agent exists until this transaction ends."""
    sql = "SELECT 1 FROM agent WHERE id = :id AND deleted_at IS NULL"
    if db.execute(f"{sql} {db.locking('FOR SHARE')}", {"id": agent_id}).fetchone() is None:
        raise Invalid({field: [f"There is no agent {agent_id!r}; GET /agents lists them."]})


def exists(agent_id: str) -> bool:
    """Whether there is such an agent, and it is not deleted."""
    found: bool = Agent.select().where(Agent.id == agent_id, Agent.deleted_at.is_null()).exists()
    return found


def locked(agent_id: str, *, version: int | None = None) -> Agent:
    """The agent, nobody else's until this transaction ends.

    Raises `NotFound`, or `VersionMismatch` unless it is at *version*.
    """
    agent = _read_locked(agent_id)
    if agent is None or agent.deleted_at is not None:
        raise NotFound("agent", agent_id)
    if version is not None and version != agent.version:
        raise VersionMismatch(
            f"Agent {agent_id} is at version {agent.version} now, no longer at {version}."
        )
    return agent


def create(agent_id: str, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Make an agent of what *fields* name, or one that was deleted anew.

    Raises `Invalid`, or `Conflict` if there is one of that id.
    """
    values = {**DEFAULTS, **fields}
    kinds.validate(values["kind"], values["config"])
    with db.transaction():
        deleted = _read_locked(agent_id)
        if deleted is None:
            made: int = (
                Agent.insert(**values, id=agent_id, created_at=now, updated_at=now)
                .on_conflict_ignore()
                .as_rowcount()
                .execute()
            )
        elif deleted.deleted_at is not None:
            made = _update(deleted, {**values, "deleted_at": None, "created_at": now}, now)
        else:
            made = 0
        if not made:
            raise Conflict(f"There is an agent {agent_id} already.")


def change(agent: Agent, fields: Mapping[str, Any], *, now: datetime) -> Changes:
    """Change what *fields* name of an agent that is locked; what that changed."""
    before = {name: getattr(agent, name) for name in EDITABLE}
    after = {**before, **fields}
    changes = {name: (before[name], after[name]) for name in after if after[name] != before[name]}
    if not changes:
        return {}
    if not changes.keys().isdisjoint({"kind", "config"}):
        kinds.validate(after["kind"], after["config"])
    _update(agent, {name: new for name, (_, new) in changes.items()}, now)
    return {camel(name): pair for name, pair in changes.items()}


def delete(agent: Agent, *, now: datetime) -> None:
    """Delete an agent that is locked.

    Raises `Conflict` while schedules or batches use it, or it has a budget.
    """
    users = Schedule.select().where(Schedule.agent == agent.id, Schedule.deleted_at.is_null())
    schedules = users.count()
    if schedules:
        raise Conflict(
            f"Agent {agent.id} is used by {count(schedules, 'schedule')};"
            " delete or change them first."
        )
    batches = Batch.select().where(
        Batch.finished_at.is_null(),
        (Batch.agent_id == agent.id) | (Batch.notify_agent_id == agent.id),
    )
    if batches.exists():
        raise Conflict(
            f"Agent {agent.id} is used by {count(batches.count(), 'batch', 'batches')} under way."
        )
    if Budget.select().where(Budget.agent == agent.id).exists():
        raise Conflict(f"Agent {agent.id} has a budget; delete that first.")
    _update(agent, {"deleted_at": now, "enabled": False}, now)


def seed(*, now: datetime) -> list[str]:
    """On the first start, make agents with which everything can be tried; their ids."""
    with db.transaction():
        if Agent.select().exists():
            return []
        for agent_id, (name, description, config) in _SAMPLES.items():
            sample = {"name": name, "description": description, "kind": "echo", "config": config}
            with suppress(Conflict):  # Somebody else seeds at the same moment.
                create(agent_id, sample, now=now)
    return list(_SAMPLES)


_SAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "finance_agent": ("Finance agent", "Answers with the message it is given.", {}),
    "slow_agent": ("Slow agent", "Takes 20 seconds for its answer.", {"delaySeconds": 20}),
    "failing_agent": ("Failing agent", "Fails every time.", {"failureRate": 1}),
    "flaky_agent": (
        "Flaky agent",
        "Fails half of the time, and is tried again.",
        {"failureRate": 0.5, "retryable": True},
    ),
    "costly_agent": ("Costly agent", "Costs a quarter of a dollar a run.", {"costUsd": 0.25}),
}


def _read_locked(agent_id: str) -> Agent | None:
    query = Agent.select().where(Agent.id == agent_id)
    if not db.is_sqlite():
        query = query.for_update("FOR NO KEY UPDATE")  # type: ignore[arg-type] # as in runs
    agent: Agent | None = query.get_or_none()
    return agent


def _update(agent: Agent, edits: Mapping[str, Any], now: datetime) -> int:
    updated: int = (
        Agent.update(**edits, version=agent.version + 1, updated_at=now)
        .where(Agent.id == agent.id, Agent.version == agent.version)
        .execute()
    )
    return updated
