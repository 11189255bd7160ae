"""Who goes first of those that wait: the urgent, and else each agent in its turn."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event
from uuid import UUID

import pytest
from waiting import wait_until

from shared import clock
from shared.runs import RunEnded

# What waits in Redis cannot be overtaken: as many as there are free threads, or two.
IN_REDIS = 2
URGENT, USUAL, PATIENT = 9, 5, 0
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.slow


@pytest.fixture
def one_at_a_time(system):
    """Workers of one thread."""
    system.environ["AGENT_MANAGER_WORKER_THREADS"] = "1"


@pytest.mark.usefixtures("one_at_a_time")
def test_the_urgent_go_before_what_has_waited_longer(system, outside, orders, checked):
    agent, other = outside.agent(seconds=0.3), outside.agent(seconds=0.3)
    for _ in range(8):
        orders.run(agent, priority=USUAL)
    system.start_all()
    outside.wait_for("ended")

    before = set(begun(outside))
    urgent = [orders.run(each, priority=URGENT) for each in (agent, other) * 3]

    checked()
    overtaken_by = begun(outside)[: max(begun(outside).index(each) for each in urgent)]
    usual = [run for run in overtaken_by if run not in {*urgent, *before}]
    # One of ten places is given without regard to priority.
    assert len(usual) <= IN_REDIS + 1 + 1


def test_of_schedules_of_one_instant_the_urgent_go_first(system, outside, orders, checked):
    agent, other = outside.agent(seconds=1), outside.agent(seconds=1)
    at = clock.now() + 4 * SECOND
    orders.one_time(12, agent, at=at, priority=USUAL)
    urgent = orders.one_time(4, other, at=at, priority=URGENT)
    system.start_all()

    checked()
    first = outside.lines("began")[:4]
    assert {line.schedule for line in first} == {each.hex for each in urgent}


def test_however_many_ask_the_api_meanwhile_the_urgent_go_first(system, outside, orders, checked):
    patient, urgent = outside.agent(seconds=0.2), outside.agent(seconds=0.2)
    system.start_all("web", "scheduler", "worker")
    with asking(orders, patient, clients=3):
        outside.wait_for("began", 30)
        before = len(outside.lines("began"))

        for _ in range(40):
            orders.run(urgent, priority=URGENT)
        wait_until(lambda: len(of({urgent}, outside.lines("began"))) == 40, timeout=60)

    for run_id in reversed(orders.runs):
        with suppress(RunEnded):
            orders.cancel(run_id)
    checked()
    since = [line.agent for line in outside.lines("began")[before:]]
    last_urgent = len(since) - since[::-1].index(urgent)
    # Those in Redis, those that came before the first urgent one, and one of ten.
    assert since[:last_urgent].count(patient) < 20


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize("whose", ["its own agent's", "another agent's"])
def test_a_steady_stream_of_urgent_runs_does_not_starve_the_most_patient(
    whose, system, outside, orders, checked
):
    agent, other = outside.agent(seconds=0.05), outside.agent(seconds=0.05)
    for _ in range(10):
        orders.run(agent, priority=URGENT)
    patient = orders.run(agent if whose == "its own agent's" else other, priority=PATIENT)
    for _ in range(80):
        orders.run(agent, priority=URGENT)

    system.start_all()

    checked()
    assert begun(outside).index(patient) < 40


def test_nothing_waits_behind_another_agent_s_long_queue(system, outside, orders, checked):
    slow, quick, flaky = outside.agent(seconds=1), outside.agent(), outside.agent(fails=1)
    queue = [orders.run(slow) for _ in range(500)]
    system.start_all("web", "scheduler", "worker")
    outside.wait_for("began", 8)

    in_a_second = clock.now() + SECOND
    orders.one_time(1, quick, at=in_a_second)
    orders.one_time(1, flaky, at=in_a_second, retry_backoff_seconds=1)
    orders.run(quick, by_api=True)
    wait_until(lambda: len(of({quick, flaky}, outside.lines("ended"))) == 3, timeout=60)
    still_waiting = len(queue) - len(of({slow}, outside.lines("began")))
    for run_id in reversed(queue):
        with suppress(RunEnded):
            orders.cancel(run_id)

    snapshot = checked()
    assert still_waiting > 400
    others = [run for run in snapshot.runs.values() if run["agent_id"] != slow]
    waited = [(run["available_at"], run["started_at"]) for run in others]
    first_of_flaky = of({flaky}, outside.lines("began"))[0]
    begun_by_slow = [line.at for line in of({slow}, outside.lines("began"))]
    for since, until in (*waited, (in_a_second, first_of_flaky.at)):
        # Three rounds of a worker's four threads, however long these take.
        assert sum(since < at < until for at in begun_by_slow) <= 12


def test_nothing_waits_behind_the_long_queues_of_many_agents(system, outside, orders, checked):
    many = [outside.agent(seconds=0.5) for _ in range(8)]
    for agent in many:
        for _ in range(12):
            orders.run(agent)
    system.start_all()
    outside.wait_for("ended", 8)

    late = outside.agent()
    orders.run(late)

    checked()
    (began,) = of({late}, outside.lines("began"))
    before = [line for line in outside.lines("began") if line.monotonic < began.monotonic]
    assert len(before) < 8 * 12 / 2


def test_agents_with_long_queues_share_the_threads_alike(system, outside, orders, checked):
    agents = [outside.agent(seconds=0.2) for _ in range(3)]
    for agent in agents:
        for _ in range(40):
            orders.run(agent)

    system.start_all()

    checked()
    shares = Counter(line.agent for line in outside.lines("began")[:60])
    assert all(18 <= shares[agent] <= 22 for agent in agents)


@contextmanager
def asking(orders, agent, *, clients):
    """Have so many clients ask the API for runs of *agent*, the least urgent, without a pause."""
    stop = Event()

    def ask():
        while not stop.is_set():
            orders.run(agent, by_api=True, priority=PATIENT)

    with ThreadPoolExecutor(clients) as pool:
        asked = [pool.submit(ask) for _ in range(clients)]
        try:
            yield
        finally:
            stop.set()
    for each in asked:
        each.result()


def of(agents, lines):
    """Those *lines* that are of one of *agents*."""
    return [line for line in lines if line.agent in agents]


def begun(outside):
    """The ids of runs in the order in which they first began."""
    return [str(UUID(line.run)) for line in outside.lines("began") if line.attempt == 1]
