"""Processes whose clock is wrong, as a test says."""

from datetime import datetime, timedelta

from databases import on_sqlite
from waiting import wait_until

from shared import clock

HOURS = timedelta(hours=1)
pytestmark = on_sqlite


def ahead(seen: datetime) -> timedelta:
    """How far ahead of the true time that is, in whole minutes."""
    return timedelta(minutes=round((seen - clock.now()) / timedelta(minutes=1)))


def test_the_clock_of_a_running_worker_can_be_set(system, outside, orders, fake_clock):
    agent = outside.agent()
    system.start("scheduler")
    system.start("worker", environ=fake_clock.environ)
    orders.run(agent)
    assert ahead(outside.wait_for("ended")[0].at) == 0 * HOURS

    fake_clock.shift(7200)
    orders.run(agent)
    assert ahead(outside.wait_for("ended", 2)[1].at) == 2 * HOURS

    fake_clock.shift(-7200)
    orders.run(agent)
    line = outside.wait_for("ended", 3)[2]
    assert ahead(line.at) == -2 * HOURS
    assert line.monotonic > outside.lines("ended")[1].monotonic


def test_the_clock_of_a_running_scheduler_can_be_set(system, outside, orders, fake_clock):
    agent = outside.agent()
    orders.schedule(agent, run_at=clock.now() + HOURS)
    system.start("scheduler", environ=fake_clock.environ)
    orders.one_time(1, agent)
    system.wait_for_runs(1)

    fake_clock.shift(3600)

    system.wait_for_runs(2)
    (early,) = (run for run in system.snapshot().runs.values() if run["queued_at"] > clock.now())
    assert ahead(early["queued_at"]) == HOURS


def test_the_clock_of_the_api_can_be_set(system, outside, orders, fake_clock):
    fake_clock.shift(-7200)
    system.start("web", environ=fake_clock.environ)

    orders.run(outside.agent(), by_api=True)

    (run,) = wait_until(system.snapshot).runs.values()
    assert ahead(run["queued_at"]) == -2 * HOURS
