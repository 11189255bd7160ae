"""Hosts whose clocks are set while everything runs, or that are far apart from each other."""

from collections import Counter
from datetime import timedelta

import pytest
from databases import on_postgres, on_sqlite
from faketime import FakeClock

from shared import clock
from shared.tally import Count

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("long_leases")]

HOUR = timedelta(hours=1)


def hourly(at):
    """The expression of a schedule that fires at that minute of each hour."""
    return f"{at.minute} * * * *"


@on_postgres
@pytest.mark.parametrize("hours", [2, -2])
def test_a_scheduler_whose_clock_is_set_fires_nothing_early_and_reaps_nobody(
    hours, system, fake_clock, outside, orders, checked
):
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=5)
    orders.schedule(short, cron_expression=hourly(clock.now() + HOUR / 2))
    system.start("scheduler", environ=fake_clock.environ)
    system.start("worker")
    working = orders.run(long)
    outside.wait_for("began")

    fake_clock.shift(hours * 3600)
    orders.one_time(5, short)
    outside.wait_for("ended", 5)
    fake_clock.shift(0)
    orders.one_time(5, short)

    system.wait_until_counted(Count.CLOCK_STEPS, 2)
    snapshot = checked(on_time=timedelta(seconds=20))
    assert len(snapshot.runs) == 11
    assert {run["attempt"] for run in snapshot.runs.values()} == {1}
    assert snapshot.runs[working.replace("-", "")]["status"] == "COMPLETED"


@on_postgres
@pytest.mark.parametrize("hours", [2, -2])
def test_a_worker_whose_clock_is_set_keeps_its_runs_and_retries_them_in_time(
    hours, system, fake_clock, outside, orders, checked
):
    long, failing = outside.agent(seconds=4), outside.agent(seconds=2, fails=1)
    system.start("scheduler")
    worker = system.start("worker", environ=fake_clock.environ)
    kept = orders.run(long)
    orders.one_time(1, failing, retry_backoff_seconds=1)
    outside.wait_for("began", 2)

    fake_clock.shift(hours * 3600)
    outside.wait_for("ended", 2)
    put_back = orders.run(outside.agent(seconds=3))
    outside.wait_for("began", 4)
    worker.terminate()
    worker.wait(20)
    system.start("worker")

    snapshot = checked(clocks_lie=True)
    attempts = {run_id: run["attempt"] for run_id, run in snapshot.runs.items()}
    assert attempts.pop(kept.replace("-", "")) == 1
    assert snapshot.runs[put_back.replace("-", "")]["uncounted"] == 1
    assert set(attempts.values()) == {2}


@on_postgres
@pytest.mark.parametrize("seconds", [120, -120])
def test_a_host_whose_clock_is_off_works_beside_a_right_one(
    seconds, system, tmp_path, outside, orders, checked
):
    off = FakeClock(tmp_path, seconds=seconds).environ
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=6)
    failing = outside.agent(fails=1)
    single = outside.agent(seconds=0.2, max_concurrency=1)
    orders.schedule(short, cron_expression=hourly(clock.now() + timedelta(minutes=2)))
    for kind in ("scheduler", "worker"):
        system.start(kind)
        system.start(kind, environ=off)
    for _ in range(5):
        orders.run(long)
        orders.run(single)
    orders.one_time(5, failing, retry_backoff_seconds=1)
    orders.one_time(20, short)

    snapshot = checked(clocks_lie=True)

    attempts = Counter(run["attempt"] for run in snapshot.runs.values())
    assert attempts == {1: 30, 2: 5}
    begun_early = [
        line
        for line in outside.lines("began")
        if line.scheduled_for is not None and true_time(line) < line.scheduled_for
    ]
    assert not begun_early


def true_time(line):
    """When that happened, by the clock of the tests."""
    return clock.now() - timedelta(seconds=clock.monotonic() - line.monotonic)


@on_sqlite
def test_a_host_whose_clock_is_set_ahead_and_back_records_each_instant_once(
    system, fake_clock, outside, orders, checked
):
    short, long = outside.agent(), outside.agent(seconds=5)
    orders.minutely(3, short)
    orders.minutely(2, short, catch_up_policy="NONE")
    orders.one_time(2, short, at=clock.now() + 1.5 * HOUR)
    system.environ |= fake_clock.environ
    system.start_all()
    working = orders.run(long)
    outside.wait_for("began")
    before = system.snapshot()

    fake_clock.shift(2 * 3600)
    # The latest of what was passed, of those that catch up with it, and what is less than a minute
    # old of all; the others are missed. What had not run by then would wait for two hours.
    outside.wait_for("ended", 7)
    ahead = system.snapshot()
    fake_clock.shift(0)
    system.wait_until_counted(Count.CLOCK_STEPS, 2)
    orders.one_time(3, short)

    snapshot = checked(clocks_lie=True, earlier=[before, ahead])
    assert snapshot.runs[working.replace("-", "")]["attempt"] == 1
    missed = [run["missed_count"] for run in snapshot.runs.values() if run["status"] == "MISSED"]
    assert len(missed) >= 5
    assert all(100 < count <= 121 for count in missed)
