"""Five schedulers at the instants at which hundreds of schedules are due, of which one dies."""

from datetime import timedelta

import pytest
from gates import Gate

from shared import clock, db

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _small_batches(system):
    """Many transactions for what is due, so that each scheduler has a share."""
    system.environ |= {
        "AGENT_MANAGER_TICK_BATCH": "10",
        "AGENT_MANAGER_WORKER_THREADS": "16",
    }


@pytest.mark.slow
def test_five_schedulers_that_see_the_same_due_record_each_instant_once(
    system, outside, orders, checked, tmp_path
):
    agent = outside.agent()
    at = clock.now() + 30 * SECOND
    with db.transaction():
        orders.one_time(200, agent, at=at)
        orders.one_time(200, agent, at=at + SECOND)
    gates = [Gate("scheduler.after_commit", tmp_path / str(number)) for number in range(5)]
    for gate in gates[1:]:
        system.start("scheduler", gate.order)
    killed = system.start("scheduler", f"{gates[0].order},scheduler.before_commit=kill@2")
    for gate in gates:
        gate.wait_until_reached()
    orders.wait_until_due()

    for gate in gates:
        gate.open()
    system.wait_for_death(killed)

    system.start("worker")
    checked()
    assert len(outside.lines("began")) == 400


@pytest.mark.slow
def test_five_schedulers_record_each_minute_of_each_schedule_once(system, outside, orders, checked):
    agent = outside.agent()
    with db.transaction():
        schedules = orders.minutely(200, agent)
    schedulers = system.start_all(*["scheduler"] * 5)
    system.start("worker")
    system.wait_until_said("INFO    scheduler.loop: scheduler", times=5)
    orders.wait_until_due(clock.next_minute(clock.now()))
    system.wait_for_runs(1)

    system.kill(schedulers[0])

    system.wait_for_runs(len(schedules), "COMPLETED", timeout=60)
    checked()
