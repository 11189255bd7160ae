"""Checks of agents: made, kept with the version that they are of, and no work."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_agent, make_budget, make_run, make_schedule

from shared import agents, checks, costs, db, leases, measuring, new_runs, runs, schedules
from shared.attempts import Outcome, failure
from shared.budgets.models import Budget
from shared.costs import GroupBy
from shared.errors import Conflict, NotFound
from shared.findings import FAIL, OK, WARN, Finding
from shared.idempotency import IdempotencyKey
from shared.models import Agent, Run
from shared.pages import Paging
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    QUEUED,
    CheckStatus,
    ErrorCode,
    Trigger,
    WhenSpent,
)
from shared.time_range import TimeRange

pytestmark = pytest.mark.usefixtures("database")

WELL = Finding("model", OK, "It is there.")
DOUBTFUL = Finding("price", WARN, "Nobody knows it.", "Say it.")
ILL = Finding("tool", FAIL, "It is gone.", "Bring it back.")


def ended(*findings):
    return Outcome(status=COMPLETED, content=json.dumps(checks.written(findings)))


def check(agent="echo"):
    return Run.get_by_id(new_runs.check(agent, key=None, now=NOON).id)


def record(run, outcome, *, now=NOON + MINUTE):
    checks.record(run.id, outcome, now=now)
    return Agent.get_by_id(run.agent_id)


def claimed(run):
    Run.update(dispatches=1).where(Run.id == run.id).execute()
    (taken,) = runs.claim([run.id], "worker-1", lease=timedelta(seconds=30), now=NOON)
    return taken


def finished(run, **outcome):
    taken = claimed(run)
    lease = runs.Lease(taken.id, taken.attempt)
    assert runs.finish({lease: Outcome(status=COMPLETED, **outcome)}, now=NOON + MINUTE)


# Making.


def test_a_check_is_a_short_and_urgent_run_of_what_the_agent_is():
    make_agent(kind="http", config={"url": "https://a.example"}, version=7, timeout_seconds=600)

    run = check()

    assert (run.trigger, run.status, run.agent_version) == (Trigger.CHECK, QUEUED, 7)
    assert (run.timeout_seconds, run.max_attempts, run.priority) == (90, 1, 9)
    taken = claimed(run)
    assert (taken.trigger, taken.kind, taken.config) == (
        Trigger.CHECK,
        "http",
        {"url": "https://a.example"},
    )


def test_to_workers_of_an_earlier_release_a_check_is_of_no_kind():
    make_agent()

    run = check()

    assert run.kind == checks.KIND
    assert "=" in run.kind, "an entry point could be called so"


def test_an_agent_that_is_disabled_is_checked_and_one_that_is_deleted_is_not():
    make_agent("off", enabled=False)
    make_agent("gone", enabled=False, deleted_at=NOON)

    assert check("off").status is QUEUED
    with pytest.raises(NotFound):
        check("gone")


def test_the_same_key_gives_the_same_check():
    make_agent()
    key = IdempotencyKey("once", "hash")

    first = new_runs.check("echo", key=key, now=NOON)

    assert new_runs.check("echo", key=key, now=NOON) == first


def test_a_saved_agent_is_checked_instead_of_what_it_was():
    make_agent()
    make_agent("other")
    old, others, work = check(), check("other"), make_run()
    going_on = claimed(check())

    new = new_runs.check_anew("echo", now=NOON)

    statuses = {run.id: run.status for run in Run.select()}
    assert statuses.pop(old.id) is CANCELLED
    assert statuses.pop(going_on.id) is not CANCELLED
    assert set(statuses) == {new, others.id, work.id}
    assert set(statuses.values()) == {QUEUED}


def test_no_budget_covers_a_check():
    make_agent()
    make_budget("1", run_usd=Decimal(1), when_spent=WhenSpent.SKIP)
    new_runs.background("echo", **ORDERS)

    with pytest.raises(Conflict):
        new_runs.background("echo", **ORDERS)
    assert check().status is QUEUED
    assert check().reserved is None
    assert Budget.select().count() == 1


ORDERS = {"message": "Go", "metadata": {}, "session_id": None, "timeout_seconds": None}
ORDERS |= {"max_attempts": 1, "priority": 5, "key": None, "now": NOON}


def test_a_check_is_not_retried_as_if_it_were_work():
    make_agent()
    run = check()
    finished(run)

    with pytest.raises(Conflict, match="check agent echo again"):
        new_runs.retry(run.id, key=None, now=NOON)


@pytest.mark.parametrize("group_by", GroupBy)
def test_checks_are_in_no_costs_and_no_estimates(group_by):
    make_agent()
    finished(check())
    done = {"status": COMPLETED, "started_at": NOON, "finished_at": NOON + MINUTE}
    make_run(**done)

    time_range = TimeRange.of(NOON, NOON + timedelta(days=1), "UTC", now=NOON)
    total, _ = costs.page(group_by, time_range, {}, Paging())

    assert total.runs == 1
    assert len(measuring.latest("echo")) == 1


# Keeping.


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], CheckStatus.OK),
        ([WELL], CheckStatus.OK),
        ([WELL, DOUBTFUL], CheckStatus.WARNING),
        ([WELL, ILL, DOUBTFUL], CheckStatus.FAILED),
    ],
)
def test_a_check_is_as_good_as_the_worst_that_it_finds(findings, status):
    make_agent()

    agent = record(check(), ended(*findings))

    assert (agent.check_status, agent.checked_at) == (status, NOON + MINUTE)
    assert len(agent.check_findings) == len(findings)


def test_the_worst_comes_first_with_its_cure():
    assert checks.written([WELL, ILL, DOUBTFUL]) == [
        {"name": "tool", "status": "FAILED", "message": "It is gone. Bring it back."},
        {"name": "price", "status": "WARNING", "message": "Nobody knows it. Say it."},
        {"name": "model", "status": "OK", "message": "It is there."},
    ]


def test_so_many_findings_are_kept_and_no_more():
    assert len(checks.written([WELL] * 1000)) == 200


def test_a_check_that_did_not_come_to_its_end_has_failed():
    make_agent()
    error = failure(ErrorCode.TIMEOUT, "It was stopped after its 60 seconds.")

    agent = record(check(), Outcome(status=FAILED, error=error))

    assert agent.check_status is CheckStatus.FAILED
    assert agent.check_findings == [
        {"name": "check", "status": "FAILED", "message": "It was stopped after its 60 seconds."}
    ]


def test_a_check_whose_worker_died_says_that_it_was_not_made():
    make_agent()
    record(check(), ended(WELL))
    going_on, working = claimed(check()), make_run(leased_by="worker-1")

    reaped = leases.reap(leases.held(), now=NOON + 2 * MINUTE)

    assert dict(reaped) == {going_on.id: FAILED, working.id: QUEUED}
    agent = Agent.get_by_id("echo")
    assert (agent.check_status, agent.checked_at) == (CheckStatus.WARNING, NOON + 2 * MINUTE)
    assert [each["message"] for each in agent.check_findings] == [
        "It was not made: The lease of worker-1 on attempt 1 ran out. Check again."
    ]


def test_a_check_that_was_cancelled_says_nothing():
    make_agent()

    agent = record(check(), Outcome(status=CANCELLED))

    assert (agent.check_status, agent.checked_at) == (None, None)


def test_a_late_check_of_an_earlier_version_writes_nothing():
    make_agent()
    late = check()
    Agent.update(version=2).execute()
    record(check(), ended(WELL))

    agent = record(late, ended(ILL), now=NOON + 2 * MINUTE)

    assert (agent.check_status, agent.checked_at) == (CheckStatus.OK, NOON + MINUTE)


# Showing.


def shown(agent="echo"):
    return dict(zip(agents.AGENTS.columns, agents.get(agent), strict=True))


def warning(schedule):
    columns = list(schedules.SCHEDULES.columns)
    (row,) = schedules.page({}, Paging()).rows
    assert row == schedules.get(schedule.id)
    return row[columns.index("warning")]


def test_an_agent_shows_its_check_until_it_is_saved_again():
    make_agent()
    assert shown()["check.status"] is None

    record(check(), ended(DOUBTFUL))
    assert shown()["check.status"] == "WARNING"
    assert json.loads(shown()["check.findings"]) == checks.written([DOUBTFUL])

    with db.transaction():
        agents.change(agents.locked("echo"), {"name": "New"}, now=NOON)
    assert shown()["check.status"] is None


def test_a_schedule_warns_of_what_its_agent_lacks():
    schedule = make_schedule()
    assert warning(schedule) is None

    record(check(), ended(WELL, DOUBTFUL))
    assert warning(schedule) is None

    record(check(), ended(WELL, ILL))
    assert warning(schedule) == "Its agent failed its check: It is gone. Bring it back."

    Agent.update(version=2).execute()
    assert warning(schedule) is None
