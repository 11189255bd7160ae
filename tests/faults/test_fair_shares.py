"""Who goes first of those that wait: the urgent, and else each agent in its turn."""

import pytest
from waiting import wait_until

# What waits in Redis cannot be overtaken: as many as there are free threads, or two.
IN_REDIS = 2
URGENT, USUAL, PATIENT = 9, 5, 0


@pytest.mark.slow
def test_the_urgent_go_before_what_waited_longer(system, outside, orders, checked):
    system.environ["AGENT_MANAGER_WORKER_THREADS"] = "1"
    agent, other = outside.agent(seconds=0.2), outside.agent(seconds=0.2)
    waited = [orders.run(agent, priority=USUAL) for _ in range(8)]
    system.start_all()
    outside.wait_for("ended")

    urgent = [orders.run(each, priority=URGENT) for each in (agent, other) * 3]

    checked()
    first = began(outside)[: began(outside).index(urgent[-1])]
    print(first)
    # Those that had begun, those in Redis, and perhaps the one in ten that goes by its turn.


def began(outside):
    """The runs in the order in which they began."""
    return [line.run for line in outside.lines("began")]
