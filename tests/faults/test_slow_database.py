"""A database that takes its time, or that somebody else has to himself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from databases import on_postgres, on_sqlite
from waiting import let_pass, wait_until

PATIENT = {"AGENT_MANAGER_RUN_LEASE": "20"}


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing to an SQLite database."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)) as somebody:
        somebody.isolation_level = None
        somebody.execute("BEGIN IMMEDIATE")
        yield
        somebody.execute("ROLLBACK")


@pytest.mark.slow
@on_postgres
def test_with_a_slow_database_all_ends_and_no_lease_is_lost(
    system, postgres_proxy, outside, orders, checked
):
    system.environ |= PATIENT
    agent = outside.agent(seconds=0.5)
    orders.one_time(10, agent)
    orders.minutely(2, agent)
    postgres_proxy.delay(0.1)
    system.start_all("web", "scheduler", "scheduler", "worker", "worker")

    for _ in range(10):
        orders.run(agent, by_api=True)

    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
    assert {run["attempt"] for run in snapshot.runs.values()} == {1}


@pytest.mark.slow
@on_sqlite
def test_with_a_database_that_others_write_to_for_seconds_no_lease_is_lost(
    system, outside, orders, checked
):
    system.environ |= PATIENT
    agent = outside.agent(seconds=0.5)
    system.start_all("web", "scheduler", "worker", "worker")
    for _ in range(30):
        orders.run(agent)
    orders.one_time(10, agent)

    for _ in range(4):
        ended = len(outside.lines("ended"))
        with locked(system.database_url):
            let_pass(5)
        outside.wait_for("ended", ended + 1)

    snapshot = checked()
    assert {run["attempt"] for run in snapshot.runs.values()} == {1}


@on_sqlite
def test_a_database_that_is_locked_for_too_long_is_tried_again(system, outside, orders, checked):
    system.environ["AGENT_MANAGER_DATABASE_TIMEOUT"] = "0.3"
    agent = outside.agent(seconds=0.2)
    processes = system.start_all("web", "scheduler", "worker")
    orders.run(agent)
    outside.wait_for("ended")
    for _ in range(4):
        orders.run(agent)
    orders.one_time(3, agent)
    outside.wait_for("began", 2)

    with locked(system.database_url):
        orders.wait_until_due()
        system.wait_until_said("cannot tick, will keep trying: database is locked")
        system.wait_until_said("cannot send a heartbeat, will keep trying: database is locked")
        path = f"/api/v1/agents/{agent}/runs/background"
        refused = system.call("POST", path, {"message": "Go"})

    assert refused[0] == 503
    accepted = wait_until(lambda: system.call("POST", path, {"message": "Go"})[0] == 202)
    assert accepted
    checked()
    assert [process.poll() for process in processes] == [None] * 3
