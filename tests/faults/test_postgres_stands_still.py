"""PostgreSQL that is there and does not answer: TCP's own time-outs never notice that."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from databases import on_own_postgres, on_postgres
from servers import Postgres
from waiting import let_pass

# Server and process give a statement up after one second and two.
IMPATIENT = {"AGENT_MANAGER_DATABASE_TIMEOUT": "1"}


@pytest.mark.slow
@on_postgres
def test_nobody_waits_for_ever_on_a_connection_that_stands_still(
    system, postgres_proxy, outside, orders, checked
):
    system.environ |= {**IMPATIENT, "AGENT_MANAGER_RUN_LEASE": "6"}
    agent = outside.agent(seconds=1)
    system.start_all("web", "scheduler", "worker")
    for _ in range(6):
        orders.run(agent)
    began = outside.wait_for("began", 2)

    postgres_proxy.strand()
    orders.run(agent, by_api=True)
    orders.one_time(4, agent)

    snapshot = checked()
    assert postgres_proxy.held
    # Their leases were renewed, and their ends recorded, on connections that work.
    assert {snapshot.runs[line.run]["attempt"] for line in began} == {1}


@on_postgres
def test_a_scheduler_frozen_amid_a_transaction_keeps_no_other_from_its_schedules(
    system, outside, orders, checked
):
    system.environ |= IMPATIENT
    agent = outside.agent()
    orders.one_time(10, agent)
    orders.wait_until_due()
    frozen = system.start("scheduler", "scheduler.before_commit=freeze")
    system.wait_for_ice(frozen)

    system.start_all()
    outside.wait_for("ended", 10)
    system.thaw(frozen)

    system.wait_until_said("can tick again")
    checked()
    assert frozen.poll() is None


@pytest.mark.slow
@on_postgres
def test_after_a_stall_of_the_database_all_goes_on(
    system, postgres_proxy, outside, orders, checked
):
    system.environ |= IMPATIENT
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=20)
    processes = system.start_all("web", "scheduler", "worker")
    for _ in range(20):
        orders.run(short)
    lost = orders.run(long)
    outside.wait_for("ended", 2)

    postgres_proxy.stall()
    orders.one_time(10, short)
    system.wait_until_said(f"run {lost} lost")
    status, _ = system.call("GET", "/readyz")
    postgres_proxy.heal()

    assert status == 503
    snapshot = checked(timeout=90)
    assert [process.poll() for process in processes] == [None] * 3
    assert snapshot.runs[lost.replace("-", "")]["attempt"] > 1


@pytest.mark.slow
@on_postgres
def test_who_is_told_to_end_while_the_database_stands_still_ends(
    system, postgres_proxy, outside, orders, checked
):
    system.environ |= IMPATIENT
    agent = outside.agent(seconds=1)
    processes = system.start_all("web", "scheduler", "worker")
    for _ in range(4):
        orders.run(agent)
    outside.wait_for("began", 4)

    postgres_proxy.stall()
    for process in processes:
        process.terminate()
    statuses = [process.wait(60) for process in processes]
    postgres_proxy.heal()

    assert statuses == [0, 0, 0]
    system.start_all()
    checked()


@pytest.mark.slow
@on_own_postgres
def test_after_all_of_postgres_stood_still_for_45_seconds_all_goes_on(
    system, own_postgres, outside, orders, checked
):
    system.environ |= IMPATIENT
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=20)
    processes = system.start_all("web", "scheduler", "worker")
    for _ in range(20):
        orders.run(short)
    lost = orders.run(long)
    outside.wait_for("ended", 2)

    with standing_still(own_postgres):
        status, _ = system.call("GET", "/readyz", timeout=40)
        system.wait_until_said(f"run {lost} lost", timeout=40)
        let_pass(45)

    assert status == 503
    orders.one_time(10, short)
    snapshot = checked(timeout=120)
    assert [process.poll() for process in processes] == [None] * 3
    assert snapshot.runs[lost.replace("-", "")]["attempt"] > 1


@contextmanager
def standing_still(server: Postgres) -> Iterator[None]:
    """Stop all processes of *server*, which keep their connections."""
    pid = (server.folder / "data" / "postmaster.pid").read_text().split()[0]
    postmaster = psutil.Process(int(pid))
    processes = [postmaster, *postmaster.children()]
    # One that was about to end anyway is gone as soon as the postmaster has looked.
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
