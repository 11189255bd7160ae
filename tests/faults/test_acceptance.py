"""What was answered with 2xx, when everything dies at once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from waiting import wait_until

from shared import clock

CLIENTS = 4
SECOND = timedelta(seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite", "own_postgres"], indirect=True)
@pytest.mark.parametrize("right_after_a_commit", [False, True])
def test_what_was_accepted_survives_the_death_of_everything(
    right_after_a_commit, database_url, system, outside, orders, checked, own_valkey, request
):
    servers = [own_valkey]
    if database_url.startswith("postgres"):
        servers.append(request.getfixturevalue("own_postgres"))
    web = system.start("web", "api.after_commit=kill@100" if right_after_a_commit else "")
    processes = [web, *system.start_all()]
    agent = outside.agent(seconds=0.01)
    standing = orders.schedule(agent, cron_expression="0 0 29 2 *", by_api=True)

    with ThreadPoolExecutor() as beside:
        asking = [beside.submit(_ask, orders, agent, standing) for _ in range(CLIENTS)]
        if right_after_a_commit:
            system.wait_for_death(web, timeout=60)
        else:
            wait_until(lambda: len(orders.runs) > 100, "requests to be answered", timeout=60)
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        list(beside.map(lambda server: server.kill(), servers))
        unanswered = [key for asked in asking for key in asked.result(30)]
    for server in servers:
        server.start()

    kept = system.snapshot()
    assert {run_id.replace("-", "") for run_id in orders.runs} <= kept.runs.keys()
    assert {schedule.hex for schedule in orders.known} <= kept.schedules.keys()
    system.start_all("web", "scheduler", "worker")
    repeated = [orders.run(agent, by_api=True, key=key) for key in unanswered]
    assert len(set(repeated)) == len(unanswered)
    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}


def _ask(orders, agent, standing):
    """Ask the API for things until it answers no more; the keys of the runs it then owed."""
    while True:
        key = str(uuid4())
        try:
            orders.run(agent, by_api=True, key=key)
        except OSError:
            return [key]
        with suppress(OSError):
            orders.trigger(standing)
            orders.one_time(1, agent, at=clock.now() + 3 * SECOND, by_api=True)
