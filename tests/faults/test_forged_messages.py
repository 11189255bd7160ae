"""Messages that no process of ours has sent."""

import json
from uuid import UUID, uuid4

import pytest
from record import ACTIVE
from waiting import wait_until

from shared import messages
from shared.messages import EXECUTE_RUN, RUNS_QUEUE, Sending
from shared.tally import Count

QUEUE = "agent-manager:runs"


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


def forged(run_id, **wrong):
    """A message for a run that is sound but for what is *wrong*."""
    sound = {
        "queue_name": RUNS_QUEUE,
        "actor_name": EXECUTE_RUN,
        "args": [run_id],
        "kwargs": {},
        "options": {"redis_message_id": uuid4().hex},
        "message_id": "forged",
        "message_timestamp": 0,
    }
    return json.dumps(sound | wrong).encode()


def rubbish(run_id):
    """Bodies of which none may have anything executed, whatever *run_id* is."""
    return [
        *(
            b"",
            b"\x00\xff" * 100,
            b"{",
            b"null",
            b"[]",
            b"[" * 100_000,
            b"1e400",
            b'"' + b"x" * 999,
        ),
        b"x" * 20_000_000,
        *(
            forged(run_id, **wrong)
            for wrong in (
                {"actor_name": "other"},
                {"actor_name": ["execute_run"]},
                {"args": run_id},
                {"args": []},
                {"args": [run_id, run_id]},
                {"args": [[run_id]]},
                {"args": ["x" * 1_000_000]},
                {"args": ["no run"]},
                {"options": None},
                {"options": {}},
                {"options": {"redis_message_id": {"a": 1}}},
                {"options": {"redis_message_id": "\ud800"}},
            )
        ),
    ]


def push(client, bodies):
    """Put *bodies* at the end of the queue, each under a name of its own."""
    named = {uuid4().hex: body for body in bodies}
    client.hset(f"{QUEUE}.msgs", mapping=named)
    client.rpush(QUEUE, *named)


def wait_until_nothing_is_left(client):
    """Wait until Redis holds no message any more, dead letters neither."""
    wait_until(
        lambda: [key for key in client.scan_iter() if not key.endswith(b"__heartbeats__")] == [],
        "Redis to be empty",
        timeout=20,
    )


def test_rubbish_in_redis_is_dropped_and_the_runs_go_on(system, outside, orders, checked, client):
    push(client, [*rubbish(uuid4().hex), *rubbish(5)])
    client.rpush(QUEUE, *(f"nothing-{number}" for number in range(100)))
    agent = outside.agent()
    runs = [orders.run(agent) for _ in range(20)]

    processes = system.start_all("scheduler", "worker")

    checked()
    assert len(outside.lines("ended")) == len(runs)
    assert [process.poll() for process in processes] == [None, None]
    wait_until_nothing_is_left(client)
    assert "Traceback" not in system.logs()
    assert len(system.logs()) < 100_000


@pytest.mark.slow
def test_no_message_can_start_a_run_that_may_not_go(system, outside, orders, checked, client):
    orders.run(outside.agent())
    crowded = outside.agent(max_concurrency=1, seconds=600)
    orders.run(crowded)
    orders.run(crowded)
    orders.one_time(1, outside.agent(fails=1), retry_backoff_seconds=86_400)
    orders.cancel(orders.run(outside.agent()))
    system.start_all("scheduler", "worker")
    outcome = {"COMPLETED": 1, "RUNNING": 1, "QUEUED": 2, "CANCELLED": 1}
    wait_until(
        lambda: system.status_counts() == outcome and outside.lines("failed"),
        "one run to have ended, one to go on and two to wait",
        timeout=20,
    )
    before = system.snapshot()

    for _ in range(5):
        messages.send(
            client,
            messages.RUNS_QUEUE,
            [Sending(run_id, 0) for run_id in (*before.runs, uuid4().hex)],
        )
    system.wait_until_counted(Count.DUPLICATE_DELIVERIES, 5 * 6)

    assert len(outside.lines("began")) == 3
    for run_id, run in before.runs.items():
        if run["status"] in ACTIVE:
            orders.cancel(run_id)
    checked(earlier=[before])


@pytest.mark.slow
def test_a_flood_of_forged_messages_neither_stays_nor_stops_the_runs(
    system, outside, orders, checked, client
):
    agent = outside.agent(seconds=0.05)
    processes = system.start_all("scheduler", "worker", "worker")
    for _ in range(20):
        push(client, [forged(uuid4().hex, actor_name="other") for _ in range(500)])
        push(client, [forged(uuid4().hex) for _ in range(20)])
        orders.run(agent)

    checked()
    system.wait_until_counted(Count.DUPLICATE_DELIVERIES, 400)
    wait_until_nothing_is_left(client)
    assert {process.poll() for process in processes} == {None}
    assert len(outside.lines("ended")) == 20


@pytest.mark.slow
def test_a_key_of_another_type_is_waited_out(system, outside, orders, checked, client):
    client.set(QUEUE, "not a list")
    system.start_all("scheduler", "worker")
    run_id = orders.run(outside.agent())
    system.wait_until_said("WRONGTYPE", times=2)

    client.delete(QUEUE)

    checked()
    messages.send(client, messages.RUNS_QUEUE, [Sending(UUID(run_id).hex, 0)])
    wait_until_nothing_is_left(client)
