"""PostgreSQL that is killed and comes back, while everything runs."""

from datetime import timedelta

import pytest
from databases import on_own_postgres
from waiting import let_pass, wait_until

from shared import clock

pytestmark = [on_own_postgres, pytest.mark.slow]


def test_all_goes_on_by_itself_after_postgres_was_killed_under_load(
    system, own_postgres, outside, orders, checked
):
    agent = outside.agent(seconds=0.2)
    processes = system.start_all()
    for _ in range(12):
        orders.run(agent)
    orders.one_time(12, agent)
    outside.wait_for("ended", 2)

    own_postgres.kill()
    system.wait_until_said("will keep trying", times=2)
    own_postgres.start()

    checked()
    assert [process.poll() for process in processes] == [None, None]


def test_postgres_killed_again_and_again_under_load_loses_nothing(
    system, own_postgres, database, outside, orders, checked
):
    agent = outside.agent(seconds=0.3)
    processes = [*system.start_all(), *system.start_all()]
    before = []
    for _ in range(4):
        ended = len(outside.lines("ended"))
        for _ in range(15):
            orders.run(agent)
        orders.one_time(15, agent)
        outside.wait_for("ended", ended + 3)
        before.append(system.snapshot())
        database.close()  # What we ourselves hold open does not outlive the server.
        own_postgres.kill()
        own_postgres.start()

    snapshot = checked(earlier=before)

    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
    assert [process.poll() for process in processes] == [None] * 4
    assert system.logs().count("will keep trying") >= 4


@pytest.mark.parametrize("seconds", [5, 60])
def test_what_came_due_while_postgres_was_down_is_recorded_when_it_is_back(
    seconds, system, own_postgres, outside, orders, checked
):
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=3)
    processes = system.start_all("web", "scheduler", "worker")
    orders.run(long)
    orders.one_time(10, short, at=clock.now() + timedelta(seconds=3))
    orders.minutely(3, short)
    outside.wait_for("began")

    own_postgres.kill()
    wait_until(lambda: _refused(system, short), "the API to notice")
    let_pass(seconds)
    assert _refused(system, short)
    own_postgres.start()

    wait_until(lambda: not _refused(system, short), "the API to be back")
    checked()
    assert [process.poll() for process in processes] == [None] * 3
    logs = system.logs()
    # Once a minute and process for each duty that fails; what a driver says of it is in one line.
    assert logs.count("will keep trying") < 40
    assert "Traceback" not in logs


def _refused(system, agent):
    status, answer = system.call(
        "POST", f"/api/v1/agents/{agent}/runs/background", {"message": "Go"}
    )
    assert status in {202, 503}, answer
    return status == 503
