"""Redis does what it was asked, and its answer is lost: nobody knows whether it did."""

import pytest
import redis
from waiting import wait_until

from shared import messages
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("long_leases")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["LLEN", "RPUSH", "BLMOVE", "EVALSHA"])
def test_whatever_answer_is_lost_each_run_is_made_once(
    command, system, outside, orders, checked, redis_proxy
):
    """How many wait, the sending of messages, the waiting for one, the fetching."""
    agent = outside.agent(seconds=0.1)
    redis_proxy.swallow(command.encode(), times=3)
    processes = system.start_all()

    orders.one_time(20, agent)
    for _ in range(20):
        orders.run(agent)

    wait_until(lambda: redis_proxy.swallowed == 3, "three answers to be lost", timeout=60)
    checked()
    assert [line.attempt for line in outside.lines("began")] == [1] * 40
    assert [process.poll() for process in processes] == [None, None]


def test_messages_that_left_redis_and_reached_nobody_are_sent_again(
    system, outside, orders, checked, redis_proxy, valkey
):
    orders.one_time(5, outside.agent())
    system.start("scheduler")
    with redis.from_url(valkey) as client:
        wait_until(
            lambda: messages.waiting(client, messages.RUNS_QUEUE), "messages to wait", timeout=20
        )
    # The first answer may be that the script is not known yet.
    redis_proxy.swallow(b"EVALSHA", times=2)

    system.start("worker")

    checked()
    assert redis_proxy.swallowed == 2
    assert [line.attempt for line in outside.lines("began")] == [1] * 5
    system.wait_until_counted(Count.RESENDS)


@pytest.mark.slow
def test_a_request_whose_message_was_sent_without_an_answer_is_accepted_and_made_once(
    system, outside, orders, checked, redis_proxy
):
    agent = outside.agent()
    system.start_all("web", "worker")
    redis_proxy.swallow(b"RPUSH", times=3)

    for _ in range(5):
        orders.run(agent, by_api=True)
    system.start("scheduler")

    checked()
    assert redis_proxy.swallowed == 3
    assert [line.attempt for line in outside.lines("began")] == [1] * 5
