"""A scheduler that is killed in the middle of a tick."""

import pytest


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("scheduler.before_insert", marks=pytest.mark.slow),
        "scheduler.before_commit",
        "scheduler.after_commit",
        pytest.param("scheduler.after_send", marks=pytest.mark.slow),
    ],
)
def test_what_a_killed_scheduler_was_about_to_record_runs_once(
    point, system, outside, orders, checked
):
    agent = outside.agent()
    orders.one_time(20, agent)
    orders.wait_until_due()
    killed = system.start("scheduler", f"{point}=kill")
    system.start("worker")
    system.wait_for_death(killed)

    system.start("scheduler")

    checked()
    assert len(outside.lines("ended")) == 20
