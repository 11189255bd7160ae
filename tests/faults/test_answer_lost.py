"""PostgreSQL carries a statement out, and its answer is lost on the way back."""

from datetime import timedelta
from uuid import UUID

import pytest
from databases import on_postgres

from shared import clock

pytestmark = on_postgres

# What only a claim, and only a finish, has in its text.
CLAIM, FINISH, COMMIT = b"attempt = attempt + 1", b"content = d.content", b"COMMIT"


@pytest.fixture
def direct(system):
    """The environment of processes that speak to the database itself, and lose no answers."""
    return {"DATABASE_URL": system.database_url}


@pytest.mark.slow
def test_a_claim_whose_answer_was_lost_is_made_again_when_its_lease_is_over(
    system, postgres_proxy, direct, outside, orders, checked
):
    run_id = orders.run(outside.agent())
    system.start("scheduler", environ=direct)
    postgres_proxy.swallow(CLAIM)
    system.start("worker")

    snapshot = checked()

    assert postgres_proxy.swallowed == 1
    assert [line.attempt for line in outside.lines("began")] == [2]
    (lost,) = snapshot.events
    assert (lost["run_id"], lost["data"]["code"]) == (UUID(run_id).hex, "WORKER_LOST")


def test_a_finish_whose_answer_was_lost_is_not_taken_for_a_late_one(
    system, postgres_proxy, direct, outside, orders, checked
):
    run_id = orders.run(outside.agent())
    system.start("scheduler", environ=direct)
    postgres_proxy.swallow(FINISH)
    system.start("worker")

    system.wait_until_said(f"run {run_id} recorded")

    snapshot = checked()
    assert postgres_proxy.swallowed == 1
    assert "no longer ours" not in system.logs()
    assert [run["attempt"] for run in snapshot.runs.values()] == [1]


@pytest.mark.slow
def test_a_retry_whose_answer_was_lost_is_one_retry(
    system, postgres_proxy, direct, outside, orders, checked
):
    orders.one_time(1, outside.agent(seconds=1, fails=1), retry_backoff_seconds=1)
    system.start("scheduler", environ=direct)
    system.start("worker")
    (began,) = outside.wait_for("began")
    postgres_proxy.swallow(COMMIT)

    system.wait_until_said(f"run {UUID(began.run)} recorded")

    checked()
    assert postgres_proxy.swallowed == 1
    assert [line.attempt for line in outside.lines("began")] == [1, 2]


@pytest.mark.slow
def test_a_tick_whose_answer_was_lost_has_recorded_each_instant_once(
    system, postgres_proxy, direct, outside, orders, checked
):
    agent = outside.agent()
    orders.one_time(10, agent)
    orders.minutely(2, agent)
    system.start("worker", environ=direct)
    orders.wait_until_due()
    # Of the transaction in which it enters itself, and of those of its first ticks and dispatches.
    postgres_proxy.swallow(COMMIT, times=5)
    system.start("scheduler")

    outside.wait_for("ended", 10)

    checked()
    assert postgres_proxy.swallowed == 5
    assert len(outside.lines("began")) == len({line.run for line in outside.lines("began")})


@pytest.mark.slow
def test_a_worker_enters_itself_though_the_answer_to_that_was_lost(
    system, postgres_proxy, direct, outside, orders, checked
):
    orders.run(outside.agent())
    system.start("scheduler", environ=direct)
    postgres_proxy.swallow(COMMIT)
    system.start("worker")

    checked()

    assert postgres_proxy.swallowed == 1


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["run", "trigger", "schedule"])
def test_who_got_no_answer_from_the_api_asks_again_with_the_same_key_and_has_it_once(
    asked, system, postgres_proxy, direct, outside, orders, checked
):
    agent = outside.agent()
    schedule = orders.schedule(agent, cron_expression="0 0 1 1 *")
    in_an_hour = (clock.now() + timedelta(hours=1)).isoformat()
    path, body, accepted = {
        "run": (f"/api/v1/agents/{agent}/runs/background", {"message": "Go"}, 202),
        "trigger": (f"/api/v1/schedules/{schedule}/trigger", {}, 202),
        "schedule": (
            "/api/v1/schedules",
            {"name": "Later", "agentId": agent, "message": "Go", "runAt": in_an_hour},
            201,
        ),
    }[asked]
    system.start("web")
    before = system.snapshot()
    postgres_proxy.swallow(COMMIT)

    status, says = system.call("POST", path, body, key="the same")
    again = system.call("POST", path, body, key="the same")
    third = system.call("POST", path, body, key="the same")

    assert postgres_proxy.swallowed == 1
    assert (status, says["title"]) == (503, "Service Unavailable")
    assert again == third
    assert again[0] == accepted
    after = system.snapshot()
    made = [len(after.runs) - len(before.runs), len(after.schedules) - len(before.schedules)]
    assert made == ([0, 1] if asked == "schedule" else [1, 0])
    if asked != "schedule":
        orders.runs.append(again[1]["runId"])
        system.start("scheduler", environ=direct)
        system.start("worker", environ=direct)
        checked()
