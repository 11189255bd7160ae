"""Batches under faults: each item ends once, counts add up at every look, and nothing hurries."""

import signal
import time
from datetime import timedelta

import pytest
from factories import make_agent
from waiting import wait_until

from shared import clock, db
from shared.batches.models import BatchProgress

PATH = "/api/v1/schedules/batches"


@pytest.fixture
def flaky(database):
    """An agent that fails for now three times in ten, and takes next to no time."""
    make_agent("flaky", config={"failureRate": 0.3, "retryable": True})
    return "flaky"


def statuses(snapshot):
    return {batch["status"] for batch in snapshot.batches.values()}


def progress(batch_id):
    with db.connection():
        return BatchProgress.get_by_id(batch_id)


def test_a_batch_whose_worker_was_killed_is_done_by_another(system, outside, orders, checked):
    agent = outside.agent(seconds=0.05)
    batch_id = orders.batch(agent, 40)
    system.start("scheduler")
    killed = system.start("batch", "worker.after_claim=kill@7")
    system.wait_for_death(killed)

    system.start("batch")

    snapshot = checked()
    assert statuses(snapshot) == {"COMPLETED"}
    assert progress(batch_id).completed == 40


@pytest.mark.parametrize("point", ["scheduler.before_commit", "scheduler.after_commit"])
def test_a_batch_waits_for_no_scheduler_that_was_killed(point, system, outside, orders, checked):
    agent = outside.agent(seconds=0.01)
    orders.batch(agent, 40)
    orders.one_time(1, agent)
    system.start_all("worker", "batch")
    killed = system.start("scheduler", f"{point}=kill")
    system.wait_for_death(killed)

    system.start("scheduler")

    assert statuses(checked()) == {"COMPLETED"}


def test_what_a_worker_that_is_told_to_end_puts_back_counts_against_no_item(
    system, outside, orders, checked
):
    agent = outside.agent(seconds=2)
    batch_id = orders.batch(agent, 8, max_attempts=1)
    system.start("scheduler")
    told = system.start("batch", environ={"AGENT_MANAGER_SHUTDOWN_GRACE": "0.1"})
    outside.wait_for("began", 4)

    told.send_signal(signal.SIGTERM)
    assert told.wait(20) == 0
    system.start("batch")

    assert statuses(checked()) == {"COMPLETED"}
    assert progress(batch_id).interruptions >= 1


def test_a_batch_accepted_by_an_api_that_is_killed_right_after_is_done(
    system, outside, orders, checked
):
    agent = outside.agent()
    killed = system.start("web")
    orders.batch(agent, 30, by_api=True)
    system.kill(killed)

    system.start_all("scheduler", "batch")

    assert statuses(checked()) == {"COMPLETED"}


def test_a_batch_that_is_cancelled_while_it_runs_ends_within_seconds(
    system, outside, orders, checked
):
    agent = outside.agent(seconds=30)
    batch_id = orders.batch(agent, 1000)
    system.start_all("web", "scheduler", "batch")
    outside.wait_for("began", 4)

    asked = clock.now()
    orders.move(batch_id, "cancel")

    snapshot = checked(timeout=20)
    (batch,) = snapshot.batches.values()
    assert (batch["status"], batch["cancelled"] + batch["dropped"]) == ("CANCELLED", 1000)
    assert batch["finished_at"] - asked < timedelta(seconds=10)


def test_nothing_of_a_batch_starts_while_it_pauses(system, outside, orders, checked):
    agent = outside.agent(seconds=0.1)
    batch_id = orders.batch(agent, 60)
    system.start_all("web", "scheduler", "batch")
    outside.wait_for("ended", 5)

    paused = orders.move(batch_id, "pause")
    wait_until(lambda: progress(batch_id).running == 0, "what runs to finish")
    begun = len(outside.lines("began"))
    # Long enough for anything that was sent before to be sent again.
    asked = clock.now()
    wait_until(lambda: clock.now() - asked > timedelta(seconds=2.5), "messages to be sent again")

    assert paused["status"] == "PAUSED"
    assert len(outside.lines("began")) == begun
    orders.move(batch_id, "resume")
    assert statuses(checked()) == {"COMPLETED"}


@pytest.mark.slow
def test_redis_that_is_wiped_again_and_again_costs_a_batch_nothing_but_time(
    system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.05)
    orders.batch(agent, 300)
    system.start_all("scheduler", "batch", "batch")
    for ended in (20, 60, 100):
        outside.wait_for("ended", ended)
        own_valkey.flush()

    assert statuses(checked()) == {"COMPLETED"}


@pytest.mark.slow
def test_ten_thousand_items_that_fail_now_and_then_and_two_workers_killed(
    system, orders, checked, flaky
):
    batch_id = orders.batch(flaky, 10_000, max_attempts=6, retry_backoff_seconds=0)
    system.environ["AGENT_MANAGER_LOG_LEVEL"] = "WARNING"
    system.start_all("web", "scheduler")
    workers = [system.start("batch") for _ in range(3)]
    seen = []

    def look() -> None:
        status, batch = system.call("GET", f"{PATH}/{batch_id}")
        assert status == 200
        counts = batch["counts"]
        assert sum(counts.values()) == 2 * counts["total"] == 20_000
        seen.append(batch["progressPercentage"])

    def reached(percentage: float) -> bool:
        look()
        return seen[-1] >= percentage

    for worker, percentage in zip(workers, (20, 50), strict=False):
        wait_until(lambda least=percentage: reached(least), f"{percentage} %", timeout=120)
        system.kill(worker)
    wait_until(lambda: reached(100), "the last item", timeout=240)

    snapshot = checked(timeout=60)
    assert seen == sorted(seen)
    (batch,) = snapshot.batches.values()
    assert batch["completed"] + batch["failed"] == 10_000
    # Six attempts that fail three times in ten each.
    assert batch["failed"] < 60
    assert max(run["attempt"] - run["uncounted"] for run in snapshot.runs.values()) <= 6


@pytest.mark.slow
def test_a_spot_worker_that_is_terminated_every_few_seconds_loses_nothing(
    system, outside, orders, checked, tmp_path
):
    agent = outside.agent(seconds=0.4)
    batch_id = orders.batch(agent, 160, max_attempts=1)
    system.start("scheduler")
    notice = tmp_path / "notice"
    told = {
        "AGENT_MANAGER_SPOT_NOTICE": str(notice),
        "AGENT_MANAGER_SPOT_NOTICE_INTERVAL": "0.1",
        "AGENT_MANAGER_SHUTDOWN_GRACE": "0.1",
    }
    interrupted = 0
    while progress(batch_id).completed < 120:
        begun, worker = len(outside.lines("began")), system.start("batch", environ=told)
        outside.wait_for("began", begun + 12)
        # By turns the machine says so, and somebody sends a signal.
        if interrupted % 2:
            worker.send_signal(signal.SIGTERM)
        else:
            notice.touch()
            system.wait_until_said("waits for the end of its machine", times=interrupted // 2 + 1)
            notice.unlink()
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        interrupted += 1
    system.start("batch")

    snapshot = checked()
    assert statuses(snapshot) == {"COMPLETED"}
    assert interrupted > 3
    assert progress(batch_id).interruptions >= interrupted
    for run in snapshot.runs.values():
        assert run["attempt"] - run["uncounted"] == 1


@pytest.mark.slow
def test_schedules_start_on_time_while_a_hundred_thousand_items_wait(
    system, outside, orders, flaky
):
    agent = outside.agent(timeout_seconds=60)
    batch_id = orders.batch(flaky, 100_000, max_attempts=1)
    system.environ["AGENT_MANAGER_LOG_LEVEL"] = "WARNING"
    system.start_all("scheduler", "worker", "batch")
    wait_until(lambda: progress(batch_id).completed > 0, "the batch to go on", timeout=60)
    orders.minutely(5, agent)
    soon = clock.now() + timedelta(seconds=5)
    for half_seconds in range(100):
        orders.one_time(1, agent, at=soon + timedelta(seconds=half_seconds / 2))

    lines = outside.wait_for("began", 105, timeout=120)

    late = sorted((line.at - line.scheduled_for).total_seconds() for line in lines)
    ended = progress(batch_id)
    assert ended.taken < 100_000, "the batch was over too soon to be in the way"
    assert late[0] >= 0
    assert late[int(len(late) * 0.99) - 1] < 1.0, late[-10:]


@pytest.mark.slow
def test_small_batches_do_not_wait_behind_a_large_one(system, outside, orders, flaky):
    large = orders.batch(flaky, 50_000, max_attempts=1)
    system.environ["AGENT_MANAGER_LOG_LEVEL"] = "WARNING"
    system.start_all("web", "scheduler", "batch")
    agent = outside.agent()

    took = []
    for _ in range(8):
        asked = time.monotonic()
        small = orders.batch(agent, 10, by_api=True)
        wait_until(lambda each=small: progress(each).completed == 10, timeout=20)
        took.append(time.monotonic() - asked)

    assert max(took) < 5, took
    assert progress(large).taken < 50_000, "the large batch was over too soon to be in the way"
