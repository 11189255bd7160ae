"""Agents that do what none should, beside one whose runs are on time all the while."""

import signal
import sys
from datetime import timedelta

import psutil
import pytest
from factories import make_agent
from waiting import wait_until

from shared import clock
from shared.models import Agent

SECOND = timedelta(seconds=1)
ON_TIME = 3 * SECOND
GIBIBYTE = 1 << 30


@pytest.fixture
def beside(system, outside, orders):
    """Have bad agents run beside a good one: three threads of four, as often as they may.

    `beside(agent, times=3, …)` gives their runs; the processes are there, and the good agent's runs
    are due one after another.
    """

    def begin(*agents, times=3, **how):
        runs = [orders.run(agent, **how) for agent in agents for _ in range(times)]
        start = clock.now() + SECOND
        good = outside.agent(seconds=0.05)
        for number in range(20):
            orders.one_time(1, good, at=start + number * SECOND / 4)
        return runs

    return begin


@pytest.fixture
def worker(system):
    """A worker, and a scheduler."""
    _, worker = system.start_all()
    system.wait_until_said("started", times=2)
    return worker


def of(snapshot, runs):
    """The rows of *runs*."""
    return [snapshot.runs[run_id.replace("-", "")] for run_id in runs]


def command(*argv, **config):
    """An agent that runs a program, at most three at a time; its id."""
    make_agent("program", kind="command", max_concurrency=3, config={"argv": argv, **config})
    return "program"


def function(tmp_path, body, **config):
    """An agent that calls a Python function with that *body*, three at a time; its id."""
    (tmp_path / "bad.py").write_text(f"import os, sys, time\n\ndef answer(message):\n    {body}\n")
    config = {"entry": "bad:answer", "path": str(tmp_path), **config}
    make_agent("function", kind="python", max_concurrency=3, config=config)
    return "function"


EAT = "[bytearray(1 << 24) for _ in iter(int, 1)]"


@pytest.mark.slow
def test_an_agent_that_kills_its_worker_is_started_as_often_as_it_may_and_no_more(
    system, outside, orders, checked
):
    killer = orders.run(outside.agent(kills=99), max_attempts=3)
    system.start("scheduler")
    for _ in range(3):
        system.wait_for_death(system.start("worker"))
    system.start("worker")
    for _ in range(10):
        orders.run(outside.agent())

    (run,) = of(checked(), [killer])

    assert (run["status"], run["error"]["code"]) == ("FAILED", "WORKER_LOST")
    assert [line.attempt for line in outside.lines("began") if line.run == run["id"]] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["its own", "its worker's"])
@pytest.mark.parametrize("kind", ["command", "python"])
def test_an_agent_that_eats_memory_fails_alone(kind, limit, worker, beside, checked, tmp_path):
    config = {"maxMemoryMb": 256} if limit == "its own" else {}
    # What its worker may have, it may have too: as much as the machine has, where nobody says.
    psutil.Process(worker.pid).rlimit(psutil.RLIMIT_AS, (GIBIBYTE, GIBIBYTE))
    eater = (
        command(sys.executable, "-c", EAT, **config)
        if kind == "command"
        else function(tmp_path, EAT, **config)
    )
    runs = beside(eater)

    snapshot = checked(on_time=ON_TIME)

    for run in of(snapshot, runs):
        assert (run["status"], run["error"]["code"]) == ("FAILED", "AGENT_ERROR")
        assert "MemoryError" in run["error"]["message"]
    assert worker.poll() is None


@pytest.mark.slow
def test_an_agent_that_the_kernel_kills_fails_alone(worker, beside, checked, tmp_path):
    kill = "os.kill(os.getpid(), 9)"
    runs = beside(command(sys.executable, "-c", f"import os; {kill}"), function(tmp_path, kill))

    snapshot = checked(on_time=ON_TIME)

    for run in of(snapshot, runs):
        assert (run["status"], run["error"]["code"]) == ("FAILED", "AGENT_ERROR")
        assert "was killed by SIGKILL" in run["error"]["message"]
    assert worker.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("hears", [True, False])
def test_an_agent_that_never_ends_is_stopped_when_its_time_is_up(
    hears, worker, outside, beside, checked
):
    trap = "" if hears else "trap '' TERM; "
    endless = command("sh", "-c", f"{trap}while true; do sleep 0.1; done")
    agents = [endless, outside.agent(seconds=86_400)] if hears else [endless]
    for agent in agents:
        Agent.update(timeout_seconds=1, max_concurrency=3 // len(agents)).where(
            Agent.id == agent
        ).execute()
    runs = beside(*agents)

    snapshot = checked(on_time=ON_TIME)

    for run in of(snapshot, runs):
        assert (run["status"], run["error"]["code"]) == ("FAILED", "TIMEOUT")
        assert run["attempt"] == 1
        assert run["finished_at"] - run["started_at"] < (1 + 3) * SECOND
    assert worker.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", ["command", "python"])
def test_an_agent_that_prints_a_hundred_megabytes_delays_nobody(
    kind, stream, worker, beside, checked, tmp_path
):
    shout = f"[sys.{stream}.write('x' * (1 << 20)) for _ in range(100)]"
    agent = (
        command(sys.executable, "-c", f"import sys; {shout}")
        if kind == "command"
        else function(tmp_path, f"{shout}; return 'done'")
    )
    runs = beside(agent, times=6)

    snapshot = checked(on_time=ON_TIME)

    answer = kind == "command" and stream == "stdout"
    for run in of(snapshot, runs):
        code = (run["error"] or {}).get("code")
        assert code == ("OUTPUT_TOO_LARGE" if answer else None)
        assert len(run["content"] or "") < 2 << 20
    assert len(snapshot.events) < 1000
    assert psutil.Process(worker.pid).memory_info().rss < 300 << 20


@pytest.mark.slow
@pytest.mark.parametrize("cancelled", [True, False])
def test_an_agent_that_ignores_being_stopped_keeps_nobody_from_anything(
    cancelled, worker, outside, orders, beside, checked
):
    deaf = outside.agent(seconds=600, ignoresStop=True, timeout_seconds=600 if cancelled else 1)
    runs = beside(deaf)
    outside.wait_for("began", 3)
    if cancelled:
        for run_id in runs:
            orders.cancel(run_id)

    snapshot = checked(on_time=ON_TIME)
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: worker.poll() is not None, "a worker to end", timeout=20)

    for run in of(snapshot, runs):
        code = (run["error"] or {}).get("code")
        assert (run["status"], code) == (
            ("CANCELLED", None) if cancelled else ("FAILED", "TIMEOUT")
        )
        assert run["attempt"] == 1
    assert worker.returncode == 0


@pytest.mark.slow
def test_a_worker_whose_threads_are_all_kept_by_such_agents_ends_to_be_restarted(
    worker, system, outside, orders, checked
):
    deaf = outside.agent(seconds=600, ignoresStop=True, timeout_seconds=1)
    for _ in range(4):
        orders.run(deaf)
    outside.wait_for("began", 4)
    orders.run(outside.agent())

    wait_until(lambda: worker.poll() is not None, "the worker to end", timeout=30)

    assert worker.returncode == 1
    system.start("worker")
    snapshot = checked()
    assert sorted(run["status"] for run in snapshot.runs.values()) == ["COMPLETED", *4 * ["FAILED"]]
