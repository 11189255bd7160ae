"""A worker that is killed between two of its steps."""

import pytest


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("worker.before_claim", marks=pytest.mark.slow),
        "worker.after_claim",
        pytest.param("agent.mid_run", marks=pytest.mark.slow),
        pytest.param("worker.before_finish", marks=pytest.mark.slow),
    ],
)
def test_a_run_whose_worker_was_killed_before_its_finish_is_made_again(
    point, system, outside, orders, checked
):
    agent = outside.agent()
    orders.one_time(5, agent)
    system.start("scheduler")
    killed = system.start("worker", f"{point}=kill")
    system.wait_for_death(killed)

    system.start("worker")

    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}


def test_a_run_whose_worker_was_killed_after_its_finish_is_not_made_again(
    system, outside, orders, checked
):
    agent = outside.agent()
    orders.one_time(1, agent)
    system.start("scheduler")
    killed = system.start("worker", "worker.after_finish=kill")
    system.wait_for_death(killed)

    system.start("worker")

    checked()
    assert [line.attempt for line in outside.lines("began")] == [1]
