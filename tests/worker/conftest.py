"""Fixtures for what runs agents: a runner with its heartbeat, and an agent to be scripted."""

import threading

import pytest
from scripts import SETTINGS
from waiting import wait_until

from shared.processes import Alive
from worker.agents.protocol import Result
from worker.agents.stop import StopReason
from worker.heartbeat import Heartbeat
from worker.runner import Runner


@pytest.fixture
def heartbeat():
    heartbeat = Heartbeat(
        "worker-1",
        lease=SETTINGS.run_lease,
        interval=SETTINGS.heartbeat_interval,
        alive=lambda: Alive(threads=1, consumers=1),
    )
    heartbeat.start()
    yield heartbeat
    heartbeat.stop_all(StopReason.LOST)
    heartbeat.close()


@pytest.fixture
def runner(heartbeat):
    runner = Runner("worker-1", SETTINGS, heartbeat)
    runner.start()
    yield runner
    runner.close()


@pytest.fixture
def execute(runner, heartbeat):
    """Have a run executed as if its id had been fetched, and wait until it is let go."""

    def execute(run_id):
        for taken in runner.take([run_id]):
            runner.execute(taken)
        wait_until(lambda: not heartbeat.holding())

    return execute


@pytest.fixture
def agent(monkeypatch):
    """What the echo agent does in this test: set `agent.does`."""

    class Scripted:
        does = staticmethod(lambda message, context: Result(content=message))

    monkeypatch.setattr(
        "worker.agents.echo.EchoAgent.run",
        lambda self, message, context: Scripted.does(message, context),
    )
    return Scripted


@pytest.fixture
def in_thread():
    """Call something in a thread that ends with the test."""
    threads = []

    def start(function, *args):
        thread = threading.Thread(target=function, args=args)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
