"""Redis that is full, or set up to drop what it holds."""

import subprocess

import pytest
import redis
from waiting import wait_until

from shared import messages

pytestmark = pytest.mark.usefixtures("long_leases")

# Bytes that it may hold; 0 is no limit.
ROOM_FOR_NOTHING, ROOM = 1, 0


@pytest.mark.slow
def test_while_redis_is_full_runs_wait_and_then_they_go_on(
    system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.2)
    processes = system.start_all("web", "scheduler", "worker", "worker")
    orders.one_time(40, agent)
    outside.wait_for("ended", 5)

    configure(own_valkey, "maxmemory", ROOM_FOR_NOTHING)
    orders.one_time(5, agent)
    orders.run(agent, by_api=True)
    for doing, kinds in (("dispatch", 1), ("fetch messages from Redis", 2)):
        system.wait_until_said(f"cannot {doing}, will keep trying", times=kinds)
    orders.wait_until_due()
    system.wait_for_runs(46)
    waiting = system.status_counts()
    configure(own_valkey, "maxmemory", ROOM)

    checked()
    assert waiting["QUEUED"] > 5
    assert [line.attempt for line in outside.lines("began")] == [1] * 46
    assert [process.poll() for process in processes] == [None] * 4
    logs = system.logs()
    assert "Traceback" not in logs
    assert logs.count("cannot fetch messages from Redis") == 2


@pytest.mark.slow
def test_what_a_redis_evicts_is_sent_again_and_everybody_is_told(
    system, outside, orders, checked, own_valkey
):
    processes = system.start_all("web", "scheduler", "worker")
    # While all threads are at work, messages wait.
    orders.one_time(4, outside.agent(seconds=8))
    outside.wait_for("began", 4)
    orders.one_time(30, outside.agent(seconds=0.2))

    configure(own_valkey, "maxmemory-policy", "allkeys-lru")
    wait_until(lambda: waiting(own_valkey), "messages to wait")
    configure(own_valkey, "maxmemory", ROOM_FOR_NOTHING)
    wait_until(lambda: evicted(own_valkey), "messages to be evicted", timeout=60)
    status, ready = system.call("GET", "/readyz")
    doctor = told_by_doctor(system)
    configure(own_valkey, "maxmemory-policy", "noeviction")
    configure(own_valkey, "maxmemory", ROOM)

    assert (status, ready["checks"]["redis"]["status"]) == (503, "fail")
    assert "its policy is allkeys-lru" in ready["checks"]["redis"]["says"]
    assert doctor.returncode == 1
    assert "its policy is allkeys-lru" in doctor.stdout
    checked()
    assert [line.attempt for line in outside.lines("began")] == [1] * 34
    assert [process.poll() for process in processes] == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scheduler", "worker"])
def test_nobody_starts_on_a_redis_that_evicts_messages(kind, system, own_valkey):
    configure(own_valkey, "maxmemory-policy", "allkeys-lru")

    process = system.start(kind)

    assert process.wait(60) == 1
    assert "its policy is allkeys-lru" in system.logs()
    assert "noeviction" in system.logs()


def configure(server, name, value):
    """Set something of *server* while it runs."""
    with redis.from_url(server.url) as client:
        client.config_set(name, value)


def waiting(server):
    """How many messages wait in *server*."""
    with redis.from_url(server.url) as client:
        return messages.waiting(client, messages.RUNS_QUEUE)


def evicted(server):
    """How many keys *server* has dropped for want of room."""
    with redis.from_url(server.url) as client:
        return client.info("stats")["evicted_keys"]


def told_by_doctor(system):
    """What `agent-manager doctor` says."""
    command = ["agent-manager", "doctor"]
    return subprocess.run(command, env=system.environ, capture_output=True, text=True, timeout=60)
