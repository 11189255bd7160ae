"""A worker with as many threads as agents that wait for a service."""

import psutil
import pytest
from factories import make_run
from slow_service import SlowService
from waiting import wait_until

from shared import db
from shared.models import Run
from shared.states import COMPLETED, RUNNING

AGENTS = 200
MOST_MIB = 400
# For what fetches, what records and the heartbeat; and for the process's own beginning.
MOST_CONNECTIONS = 4


@pytest.fixture
def service():
    with SlowService() as service:
        yield service


def test_two_hundred_agents_wait_at_once_without_a_connection_to_the_database(
    system, service, database_url
):
    for _ in range(AGENTS):
        make_run("waiting", kind="http", config={"url": service.url}, dispatches=0)
    system.start("scheduler")
    worker = system.start("worker", environ=environment(database_url))

    wait_until(lambda: service.waiting == AGENTS, "all agents to wait", timeout=60)

    before = leases()
    wait_until(lambda: len(leases()) == 1 and leases() != before, "one heartbeat for all")
    assert Run.select().where(Run.status == RUNNING, Run.attempt == 1).count() == AGENTS
    assert 0 < connections(worker, database_url) <= MOST_CONNECTIONS
    assert psutil.Process(worker.pid).memory_info().rss < MOST_MIB * 1024**2

    service.answer()

    wait_until(lambda: completed() == AGENTS, "all runs to be recorded", timeout=60)


def environment(database_url):
    if not db.is_sqlite():
        database_url += "&application_name=many"
    return {
        "DATABASE_URL": database_url,
        "AGENT_MANAGER_WORKER_THREADS": str(AGENTS),
        "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES": "true",
        "AGENT_MANAGER_RUN_LEASE": "10",
        "AGENT_MANAGER_HEARTBEAT_INTERVAL": "1",
    }


def leases():
    """Until when the runs are leased: one instant, if one statement has renewed them all."""
    return {run.lease_until for run in Run.select(Run.lease_until).distinct()}


def connections(worker, database_url):
    if db.is_sqlite():
        path = database_url.removeprefix("sqlite:///")
        return sum(file.path == path for file in psutil.Process(worker.pid).open_files())
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'many'"
    return db.execute(sql).fetchone()[0]


def completed():
    return Run.select().where(Run.status == COMPLETED, Run.content == "done").count()
