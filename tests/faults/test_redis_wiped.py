"""Redis forgets all that it held: it is wiped, it dies, or another takes its place."""

import pytest
import redis
from servers import Valkey
from waiting import wait_until

from shared import messages
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("long_leases")

QUEUE = f"{messages.NAMESPACE}:{messages.RUNS_QUEUE}"


def wipe(server):
    """Wipe *server* at a moment at which messages wait in it."""
    with redis.from_url(server.url) as client:

        def wiped():
            with client.pipeline() as at_once:
                return at_once.llen(QUEUE).flushall().execute()[0]

        wait_until(wiped, "messages to be wiped", timeout=20)


def fail_over(server, heir, *, politely):
    """Make *server* a replica that still has messages, and have *heir* answer in its place.

    Not *politely*: the clients' connections are left to them.
    """
    with redis.from_url(server.url, single_connection_client=True) as old:
        old.rpush(QUEUE, *range(100))
        (heir.folder / "valkey.sock").replace(server.folder / "valkey.sock")
        old.replicaof("127.0.0.1", 1)
        if politely:
            old.client_kill_filter(_type="normal", skipme=True)


def sendings(server):
    """How often messages were sent to *server*."""
    with redis.from_url(server.url) as client:
        return client.info("commandstats").get("cmdstat_rpush", {"calls": 0})["calls"]


def test_runs_whose_messages_were_wiped_are_sent_again(
    system, outside, orders, checked, own_valkey
):
    orders.one_time(5, outside.agent())
    system.start("scheduler")
    wipe(own_valkey)

    system.start("worker")

    checked()
    assert [line.attempt for line in outside.lines("began")] == [1] * 5
    system.wait_until_counted(Count.RESENDS)


@pytest.mark.slow
def test_wiped_again_and_again_under_load_it_costs_time_and_no_run(
    system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.2)
    orders.one_time(60, agent)
    system.start_all("scheduler", "scheduler", "worker", "worker")

    for _ in range(10):
        for _ in range(4):
            orders.run(agent)
        wipe(own_valkey)

    checked(timeout=120)
    assert [line.attempt for line in outside.lines("began")] == [1] * 100
    system.wait_until_counted(Count.RESENDS)


@pytest.mark.slow
def test_killed_and_started_empty_under_load_it_costs_time_and_no_run(
    system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.2)
    system.start_all("scheduler", "worker", "worker")

    for number in range(1, 6):
        orders.one_time(20, agent)
        outside.wait_for("began", 20 * (number - 1) + 10, timeout=60)
        own_valkey.kill()
        own_valkey.start()

    checked(timeout=120)
    assert [line.attempt for line in outside.lines("began")] == [1] * 100


@pytest.mark.slow
@pytest.mark.parametrize("politely", [True, False])
def test_a_failover_to_an_empty_redis_under_load_costs_time_and_no_run(
    politely, system, outside, orders, checked, own_valkey
):
    agent = outside.agent(seconds=0.2)
    orders.one_time(60, agent)
    workers = system.start_all("scheduler", "worker", "worker")[1:]
    outside.wait_for("began", 10)

    with Valkey() as heir:
        fail_over(own_valkey, heir, politely=politely)

        checked()
        assert sendings(own_valkey)
    assert [line.attempt for line in outside.lines("began")] == [1] * 60
    assert [worker.poll() for worker in workers] == [None, None]
