"""Rows to begin a test with: sound ones, of which a test says only what it is about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from shared import due, new_runs
from shared.attempts import Lease
from shared.batches.models import Batch, BatchItem, BatchProgress
from shared.budgets import moves
from shared.budgets.models import Budget
from shared.models import Agent, Run, Schedule, Worker
from shared.states import (
    QUEUED,
    RUNNING,
    BatchStatus,
    BudgetScope,
    Period,
    RunStatus,
    Trigger,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=30)


def make_agent(id: str = "echo", **values: Any) -> Agent:
    """An agent that echoes."""
    made: dict[str, Any] = {"name": id, "kind": "echo", "config": {}}
    return Agent.create(id=id, created_at=NOON, updated_at=NOON, **made | values)


def make_schedule(agent: str = "echo", **values: Any) -> Schedule:
    """A schedule that is due each minute, at noon for the first time."""
    if Agent.get_or_none(Agent.id == agent) is None:
        make_agent(agent)
    made: dict[str, Any] = {
        "id": uuid4(),
        "name": "Daily summary",
        "message": "Hello",
        "cron_expression": "* * * * *",
        "next_run_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Schedule.create(agent=agent, **made | values)


def make_run(agent: str = "echo", **values: Any) -> Run:
    """A queued run that was dispatched at noon; running, if it says who leases it."""
    if Agent.get_or_none(Agent.id == agent) is None:
        make_agent(agent)
    made: dict[str, Any] = {
        "id": uuid4(),
        "session_id": uuid4(),
        "trigger": Trigger.API,
        "status": QUEUED,
        "kind": "echo",
        "config": {},
        "message": "Hello",
        "timeout_seconds": 60,
        "max_attempts": 3,
        "retry_backoff_seconds": 30,
        "priority": 5,
        "queued_at": NOON,
        "available_at": NOON,
        "dispatch_at": NOON,
        "dispatches": 1,
    }
    if "leased_by" in values:
        made |= {
            "status": RUNNING,
            "attempt": 1,
            "lease_until": NOON + LEASE,
            "started_at": NOON,
        }
    return Run.create(agent_id=agent, **made | values)


def make_worker(id: str = "worker-1", **values: Any) -> Worker:
    """A worker with more threads than any test has runs."""
    made: dict[str, Any] = {"host": "here", "pid": 1, "threads": 1000, "queues": ["runs"]}
    seen = {"version": "1", "started_at": NOON, "heartbeat_at": NOON}
    return Worker.create(id=id, **made | seen | values)


def make_batch(agent: str = "echo", *, items: int = 3, **values: Any) -> Batch:
    """An accepted batch of so many items, none of which has become a run."""
    if Agent.get_or_none(Agent.id == agent) is None:
        make_agent(agent)
    made: dict[str, Any] = {
        "id": uuid4(),
        "name": "Letters",
        "status": BatchStatus.QUEUED,
        "agent_id": agent,
        "kind": "echo",
        "config": {},
        "compute": {"id": "local", "queue": "local"},
        "compute_id": "local",
        "queue": "local",
        "timeout_seconds": 60,
        "max_attempts": 3,
        "retry_backoff_seconds": 30,
        "priority": 5,
        "created_at": NOON,
        "received_at": NOON,
        "accepted_at": NOON,
    }
    batch = Batch.create(**made | values)
    BatchProgress.create(batch=batch, total=items, moved_at=NOON)
    rows = [
        {"batch": batch.id, "item_index": n, "item_key": f"key-{n}", "message": f"Item {n}"}
        for n in range(items)
    ]
    if rows:
        BatchItem.insert_many(rows).execute()
    return batch


def make_budget(limit: str = "1", **values: Any) -> Budget:
    """A daily budget of what *values* name, by default of the instance."""
    scope = BudgetScope.INSTANCE
    if "agent_id" in values:
        scope = BudgetScope.AGENT
    elif "schedule_id" in values:
        scope = BudgetScope.SCHEDULE
    made = {"scope": scope, "period": Period.DAY, "limit_usd": Decimal(limit)}
    return Budget.get_by_id(moves.create(made | values, now=NOON))


def held(run: Run) -> Lease:
    """The lease on *run* as its owner knows it."""
    return Lease(run.id, run.attempt)


def status_of(run_id: UUID) -> RunStatus:
    """What became of a run."""
    return Run.get_by_id(run_id).status


def trigger(schedule: Schedule, now: datetime = NOON, **values: Any) -> UUID:
    """A run of *schedule* on demand."""
    orders: dict[str, Any] = {"message": None, "metadata": {}, "key": None}
    return new_runs.trigger(schedule.id, now=now, **orders | values).id


def settle(now: datetime, **values: Any) -> int:
    """A tick's worth of what is due."""
    return due.settle(now, **{"limit": 1000} | values)
