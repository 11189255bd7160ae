"""PostgreSQL goes away and comes back while everything runs, or is not there yet."""

import pytest
from clients import DOCUMENTED
from servers import Postgres
from system import System
from waiting import wait_until

from shared import agents, clock, db
from shared.migrations import migrate


@pytest.fixture
def server():
    """A PostgreSQL server of the test's own, with a migrated database and the sample agents."""
    with Postgres() as server:
        server.execute("CREATE DATABASE own")
        database = db.connect(server.url("own"))
        migrate(database)
        with db.connection():
            agents.seed(now=clock.now())
        database.close_all()
        yield server
        db.proxy.obj = None


@pytest.fixture
def system(server, valkey, tmp_path_factory):
    running = System(server.url("own"), valkey, tmp_path_factory.mktemp("logs"))
    try:
        yield running
    finally:
        running.stop()
        print(running.logs())


def run_id_of_a_trigger(system, path):
    status, triggered = system.call("POST", f"{path}/trigger")
    return triggered["runId"] if status == 202 else None


def test_every_process_goes_on_by_itself_after_a_restart_of_postgres(system, server):
    system.environ["AGENT_MANAGER_RUN_LEASE"] = "10"
    processes = [system.start(kind) for kind in ("web", "scheduler", "worker")]
    slow = {"id": "slow", "name": "Slow", "kind": "echo", "config": {"delaySeconds": 4}}
    assert system.call("POST", "/api/v1/agents", slow)[0] == 201
    _, schedule = system.call("POST", "/api/v1/schedules", {**DOCUMENTED, "agentId": "slow"})
    path = f"/api/v1/schedules/{schedule['id']}"
    before = run_id_of_a_trigger(system, path)
    system.wait_for_status(before, "RUNNING")

    server.kill()
    wait_until(lambda: "will keep trying" in system.logs(), "a process to notice")
    server.start()

    assert system.wait_for_status(before, "COMPLETED", timeout=30)["attempt"] == 1
    after = wait_until(lambda: run_id_of_a_trigger(system, path), "the API to be back")
    system.wait_for_status(after, "COMPLETED", timeout=30)
    assert [process.poll() for process in processes] == [None] * 3


def test_processes_that_start_before_postgres_wait_for_it(system, server):
    server.stop()
    processes = [system.start(kind) for kind in ("web", "scheduler", "worker")]
    waiting = "shared.boot: cannot reach the database, will keep trying"
    wait_until(lambda: system.logs().count(waiting) == 2, "scheduler and worker to say so")

    path = "/api/v1/agents/finance_agent/runs/background"
    refused, _ = system.call("POST", path, {"message": "Go"})
    unready, readiness = system.call("GET", "/readyz")
    server.start()
    wait_until(lambda: system.call("GET", "/readyz")[0] == 200, "all to be ready", timeout=20)
    accepted, run = system.call("POST", path, {"message": "Go"})

    assert (refused, unready) == (503, 503)
    assert readiness["checks"]["database"]["status"] == "fail"
    assert accepted == 202
    system.wait_for_status(run["runId"], "COMPLETED")
    assert [process.poll() for process in processes] == [None] * 3
    assert system.logs().count(waiting) == 2
    assert system.logs().count("shared.boot: can reach the database again") == 2
    assert "Traceback" not in system.logs()
