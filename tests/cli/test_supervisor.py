"""The supervisor: what dies is started again, what should end ends, in order."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from waiting import wait_until

from cli.child import Child
from cli.supervisor import MARGIN_SECONDS, Supervisor
from cli.terminal import Terminal
from shared.process import StopFlag
from shared.settings import environment

OBEDIENT = "import time; print('here', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture
def terminal() -> Terminal:
    """A terminal for the processes of these tests."""
    return Terminal(["one", "two"])


@pytest.fixture
def make_child(terminal: Terminal) -> Callable[..., Child]:
    """Make a child that runs Python code."""

    def make(name: str, code: str) -> Child:
        return Child(name, (sys.executable, "-c", code), environment(), terminal)

    return make


def is_here(child: Child) -> bool:
    """Whether the child has said so."""
    return "here" in child.last_lines


def test_a_child_that_dies_says_so_and_is_started_again(terminal, make_child, tmp_path, capfd):
    starts = tmp_path / "starts"
    starts.touch()
    child = make_child("one", f"open({str(starts)!r}, 'a').write('.'); exit(3)")

    with StopFlag() as stop, Supervisor(terminal, stop, grace_seconds=1) as supervisor:
        supervisor.start(child)
        supervisor.watch(lambda: starts.read_text() == "..", every=0.01)

    assert "one │ died of exit code 3; starting again in 1 s\n" in capfd.readouterr().out


def test_a_child_that_keeps_dying_is_started_ever_more_rarely(make_child, capfd, monkeypatch):
    child = make_child("one", "exit(1)")
    now = 1000.0
    monkeypatch.setattr("shared.clock.monotonic", lambda: now)

    for _ in range(7):
        child.tend()
        assert child.process is not None
        child.process.wait()
        child.tend()
        now = child.due

    said = capfd.readouterr().out
    pauses = [int(line.split()[-2]) for line in said.splitlines()]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_health_is_forgiveness(make_child, capfd, monkeypatch):
    child = make_child("one", "exit(1)")
    now = 1000.0
    monkeypatch.setattr("shared.clock.monotonic", lambda: now)

    for _ in range(3):
        child.tend()
        assert child.process is not None
        child.process.wait()
        now += 61
        child.tend()
        now = child.due

    assert capfd.readouterr().out.count("starting again in 1 s") == 3


def test_a_child_that_will_not_end_is_killed_when_its_time_is_over(
    terminal, make_child, capfd, monkeypatch
):
    monkeypatch.setattr("cli.supervisor.MARGIN_SECONDS", 0)
    deaf = make_child("one", DEAF)

    with StopFlag() as stop, Supervisor(terminal, stop, grace_seconds=0.2) as supervisor:
        supervisor.start(deaf)
        supervisor.watch(lambda: is_here(deaf), every=0.01)

    assert not deaf.is_alive()
    assert "one │ has not ended yet and is killed" in capfd.readouterr().out


def test_a_second_signal_means_now(terminal, make_child):
    deaf = make_child("one", DEAF)

    with StopFlag() as stop, Supervisor(terminal, stop, grace_seconds=1000) as supervisor:
        supervisor.start(deaf)
        supervisor.watch(lambda: is_here(deaf), every=0.01)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert MARGIN_SECONDS > 0
    assert not deaf.is_alive()


def test_servers_end_after_those_who_need_them(terminal, make_child, tmp_path):
    def telling(name: str) -> str:
        note = f"open({str(tmp_path / 'ends')!r}, 'a').write({name!r})"
        return f"import signal; signal.signal(signal.SIGTERM, lambda *_: ({note}, exit())); "

    server = make_child("one", telling("server ") + OBEDIENT)
    client = make_child("two", telling("client ") + OBEDIENT)

    with StopFlag() as stop, Supervisor(terminal, stop, grace_seconds=10) as supervisor:
        supervisor.start_server(server)
        supervisor.start(client)
        supervisor.watch(lambda: is_here(server) and is_here(client), every=0.01)

    assert (tmp_path / "ends").read_text() == "client server "


def test_what_a_dead_child_left_behind_is_ended_too(make_child, tmp_path):
    heir = f"import time; open({str(tmp_path / 'heir')!r}, 'w').write('x'); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {heir!r}]); input()"
    child = make_child("one", code)

    child.start()
    wait_until((tmp_path / "heir").exists, "the grandchild to live")
    child.tend()
    child.kill()
    child.flush()

    assert child._reader is not None
    wait_until(lambda: not child._reader.is_alive(), "nobody to hold the pipe")


def test_nothing_is_started_when_it_is_time_to_stop(terminal, make_child):
    child = make_child("one", OBEDIENT)

    with StopFlag() as stop, Supervisor(terminal, stop, grace_seconds=1) as supervisor:
        signal.raise_signal(signal.SIGTERM)
        supervisor.start(child)

    assert not child.is_alive()


def test_a_reader_that_left_silences_the_terminal():
    code = (
        "from cli.terminal import Terminal; t = Terminal(['a']); t.block('x'); input();"
        " [t.line('a', 'y' * 1000) for _ in range(100)]; exit(7)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    _, said = process.communicate(b"\n", timeout=30)

    assert (process.returncode, said) == (7, b"")
