"""A worker that is killed between two of its steps."""

import pytest

from shared.tally import Count


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


@pytest.mark.slow
def test_all_that_a_killed_worker_held_is_made_again_by_another_that_was_there(
    system, outside, orders, checked
):
    # Long enough for the other one to start meanwhile.
    agent = outside.agent(seconds=8)
    system.start("scheduler")
    killed = system.start("worker")
    for _ in range(4):
        orders.run(agent)
    outside.wait_for("began", 4)
    system.start("worker")
    system.wait_until_said("INFO    worker.process: worker", times=2)

    system.kill(killed)

    snapshot = checked()
    assert {(run["status"], run["attempt"]) for run in snapshot.runs.values()} == {("COMPLETED", 2)}
    system.wait_until_counted(Count.LOST_LEASES, 4)
    assert system.counted(Count.LOST_LEASES) == 4
