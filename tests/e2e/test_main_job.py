"""The main job with real processes: schedules fire, agents run, records are kept."""

import signal
from collections import Counter
from datetime import datetime, timedelta

import redis
from clients import DOCUMENTED
from waiting import wait_until

from shared import clock, db
from shared.models import Run, Schedule
from shared.states import ENDED, QUEUED, RUNNING, Trigger


def make_slow_agent(system, seconds, id="slow"):
    body = {
        "id": id,
        "name": "Slow",
        "kind": "echo",
        "config": {"delaySeconds": seconds},
    }
    assert system.call("POST", "/api/v1/agents", body)[0] == 201


def start_run(system, agent, message="Go"):
    status, answer = system.call(
        "POST", f"/api/v1/agents/{agent}/runs/background", {"message": message}
    )
    assert (status, answer["status"]) == (202, "QUEUED")
    return answer["runId"]


def test_a_schedule_fires_and_its_agent_s_answer_is_recorded(system):
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)
    soon = (clock.now() + timedelta(seconds=2)).isoformat()
    one_time = {
        **{name: DOCUMENTED[name] for name in ("name", "agentId", "message")},
        "runAt": soon,
    }

    status, created = system.call("POST", "/api/v1/schedules", one_time)
    assert status == 201
    page = f"/api/v1/schedules/{created['id']}/runs"
    wait_until(lambda: system.call("GET", page)[1]["totalElements"], "a run")
    (run,) = system.call("GET", page)[1]["content"]
    run = system.wait_for_status(run["runId"], "COMPLETED")

    fired_at = datetime.fromisoformat(created["runAt"])
    started_at = datetime.fromisoformat(run["startedAt"])
    assert run["content"] == DOCUMENTED["message"]
    assert datetime.fromisoformat(run["scheduledFor"]) == fired_at
    assert fired_at <= started_at < fired_at + timedelta(seconds=1)
    after = system.call("GET", f"/api/v1/schedules/{created['id']}")[1]
    assert (after["enabled"], after["nextRunAt"]) == (False, None)
    assert after["lastRun"]["runId"] == run["runId"]


def test_the_documented_calls(system):
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)

    status, created = system.call("POST", "/api/v1/schedules", DOCUMENTED)
    assert status == 201
    path = f"/api/v1/schedules/{created['id']}"
    assert system.call("GET", "/api/v1/schedules")[1]["totalElements"] == 1
    assert system.call("GET", path)[1]["cronExpression"] == "0 8 * * *"
    nine = {**DOCUMENTED, "cronExpression": "0 9 * * *"}
    assert system.call("PUT", path, nine)[1]["cronExpression"] == "0 9 * * *"
    status, triggered = system.call("POST", f"{path}/trigger")
    assert (status, triggered["message"]) == (202, "Schedule execution triggered.")
    system.wait_for_status(triggered["runId"], "COMPLETED")
    (run,) = system.call("GET", f"{path}/runs")[1]["content"]
    assert (run["status"], run["content"]) == ("COMPLETED", DOCUMENTED["message"])
    assert run["startedAt"] <= run["finishedAt"]
    assert system.call("DELETE", path) == (204, None)
    assert system.call("GET", path)[0] == 404
    assert system.call("GET", f"{path}/runs")[1]["totalElements"] == 1


def test_a_failed_run_says_why_and_its_schedule_goes_on(system):
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)
    failing = {
        "id": "failing",
        "name": "Failing",
        "kind": "echo",
        "config": {"failureRate": 1},
    }
    system.call("POST", "/api/v1/agents", failing)
    _, schedule = system.call("POST", "/api/v1/schedules", {**DOCUMENTED, "agentId": "failing"})
    path = f"/api/v1/schedules/{schedule['id']}"

    _, triggered = system.call("POST", f"{path}/trigger")
    run = system.wait_for_status(triggered["runId"], "FAILED")

    assert run["error"]["code"] == "AGENT_ERROR"
    assert run["error"]["message"]
    after = system.call("GET", path)[1]
    assert (after["enabled"], after["nextRunAt"]) == (True, schedule["nextRunAt"])


def test_a_run_whose_worker_is_killed_is_finished_by_another(system):
    system.start("web")
    system.start("scheduler")
    first = system.start("worker")
    make_slow_agent(system, 3)
    run_id = start_run(system, "slow")
    killed = system.wait_for_status(run_id, "RUNNING")

    system.kill(first)
    system.start("worker")
    run = system.wait_for_status(run_id, "COMPLETED", timeout=30)

    assert run["attempt"] == 2
    assert run["workerId"] != killed["workerId"]
    (event,) = system.call("GET", f"/api/v1/runs/{run_id}/events")[1]["content"]
    assert event["type"] == "attempt_failed"
    assert event["data"]["code"] == "WORKER_LOST"


def test_a_run_that_kills_its_workers_is_given_up(system):
    system.start("web")
    system.start("scheduler")
    make_slow_agent(system, 60)
    body = {"message": "Go", "maxAttempts": 2}
    run_id = system.call("POST", "/api/v1/agents/slow/runs/background", body)[1]["runId"]

    for _ in range(2):
        worker = system.start("worker")
        system.wait_for_status(run_id, "RUNNING")
        system.kill(worker)
        wait_until(lambda: system.run(run_id)["status"] != "RUNNING", "the reaper")

    run = system.run(run_id)
    assert (run["status"], run["error"]["code"], run["attempt"]) == ("FAILED", "WORKER_LOST", 2)


def test_wiping_redis_loses_no_run(system, valkey):
    system.start("web")
    system.start("scheduler")
    run_ids = [start_run(system, "finance_agent", f"run {number}") for number in range(30)]
    with redis.Redis.from_url(valkey) as client:
        wait_until(lambda: client.llen("agent-manager:runs"), "messages in Redis")
        client.flushall()

    system.start("worker")

    for run_id in run_ids:
        assert system.wait_for_status(run_id, "COMPLETED", timeout=30)["attempt"] == 1


def test_what_is_accepted_while_redis_is_down_runs_once_it_is_back(system, valkey_server, valkey):
    system.start("web")
    system.start("scheduler")
    system.start("worker")
    valkey_server.stop()
    try:
        run_id = start_run(system, "finance_agent")
        assert system.run(run_id)["status"] == "QUEUED"
    finally:
        valkey_server.start()

    system.wait_for_status(run_id, "COMPLETED", timeout=30)


def test_two_schedulers_record_every_instant_once(system):
    system.start("web")
    for kind in ("scheduler", "scheduler", "worker", "worker"):
        system.start(kind)
    every_minute = {**DOCUMENTED, "cronExpression": "* * * * *", "overlapPolicy": "ALLOW"}
    created = [system.call("POST", "/api/v1/schedules", every_minute)[1] for _ in range(50)]
    first = datetime.fromisoformat(created[-1]["nextRunAt"])

    def recorded():
        with db.connection():
            return Run.select().where(Run.scheduled_for == first).count() == 50

    wait_until(recorded, f"50 runs for {first}", timeout=70)

    def all_ended():
        with db.connection():
            return not Run.select().where(Run.finished_at.is_null()).exists()

    wait_until(all_ended, "all runs to end", timeout=30)
    with db.connection():
        runs = list(Run.select().where(Run.trigger == Trigger.SCHEDULE))
        times = Counter((run.schedule_id, run.scheduled_for) for run in runs)
        assert set(times.values()) == {1}
        assert all(run.attempt == 1 for run in runs)
        assert all(run.started_at < run.scheduled_for + timedelta(seconds=2) for run in runs)
        (moved_on,) = {s.next_run_at for s in Schedule.select()}
        assert moved_on > first


def test_sigterm_finishes_short_runs_and_puts_long_ones_back(system):
    system.start("web")
    system.start("scheduler")
    worker = system.start("worker")
    make_slow_agent(system, 30)
    make_slow_agent(system, 0.5, id="brief")
    long, short = start_run(system, "slow"), start_run(system, "brief")
    # What was only taken, and not begun with, is put back at once.
    begun = [f"run {run_id} claimed" for run_id in (long, short)]
    wait_until(lambda: all(line in system.logs() for line in begun), "both to begin")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(15) == 0
    assert system.wait_for_status(short, "COMPLETED")
    run = system.run(long)
    assert (run["status"], run["attempt"]) == ("QUEUED", 1)
    system.start("worker")
    assert system.wait_for_status(long, "RUNNING")["attempt"] == 2


def test_a_drain_waits_for_all_that_ends_within_the_grace_period(system):
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "20"
    system.start("web")
    system.start("scheduler")
    worker = system.start("worker")
    make_slow_agent(system, 4)
    run_ids = [start_run(system, "slow") for _ in range(3)]
    for run_id in run_ids:
        system.wait_for_status(run_id, "RUNNING")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(15) == 0
    assert [system.run(run_id)["status"] for run_id in run_ids] == ["COMPLETED"] * 3


def test_a_draining_worker_takes_no_message_from_the_others(system):
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "60"
    system.start("web")
    system.start("scheduler")
    worker = system.start("worker")
    make_slow_agent(system, 60)
    long = start_run(system, "slow")
    system.wait_for_status(long, "RUNNING")
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: "drains" in system.logs(), "the drain to begin")

    other = system.start("worker")
    for _ in range(8):
        system.wait_for_status(start_run(system, "finance_agent"), "COMPLETED")

    assert other.poll() is None
    assert system.run(long)["status"] == "RUNNING"


def test_a_second_sigterm_does_not_wait_for_the_grace_period(system):
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "60"
    system.start("web")
    system.start("scheduler")
    worker = system.start("worker")
    make_slow_agent(system, 60)
    run_id = start_run(system, "slow")
    system.wait_for_status(run_id, "RUNNING")

    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: "drains" in system.logs(), "the drain to begin")
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10) == 0
    assert system.run(run_id)["status"] == "QUEUED"


def test_cancelling_reaches_a_running_agent_within_three_seconds(system):
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)
    make_slow_agent(system, 60)
    run_id = start_run(system, "slow")
    system.wait_for_status(run_id, "RUNNING")

    assert system.call("POST", f"/api/v1/runs/{run_id}/cancel")[0] == 200

    system.wait_for_status(run_id, "CANCELLED", timeout=3)


def test_what_was_accepted_survives_the_death_of_every_process(system):
    processes = [system.start(kind) for kind in ("web", "scheduler", "worker")]
    make_slow_agent(system, 2)
    run_ids = [start_run(system, "slow") for _ in range(6)]

    for process in processes:
        system.kill(process)
    with db.connection():
        assert Run.select().where(Run.status << [QUEUED, RUNNING, *ENDED]).count() == 6
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)

    for run_id in run_ids:
        system.wait_for_status(run_id, "COMPLETED", timeout=30)
