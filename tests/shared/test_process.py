"""StopFlag: a process that is told to end hears of it, whatever it waits for."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from shared import clock
from shared.process import StopFlag

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_the_flag(number):
    with StopFlag() as stop:
        before = stop.is_set()

        signal.raise_signal(number)

        assert not before
        assert stop.is_set()


def test_signals_are_counted():
    with StopFlag() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

        assert stop.signals == 2


def test_a_signal_ends_the_wait():
    with StopFlag() as stop:
        started = clock.monotonic()
        Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()

        told = stop.wait(30)

        assert told
        assert clock.monotonic() - started < 10


def test_a_raised_flag_is_not_waited_for():
    with StopFlag() as stop:
        signal.raise_signal(signal.SIGTERM)
        started = clock.monotonic()

        told = stop.wait(30)

        assert told
        assert clock.monotonic() - started < 10


def test_a_wait_without_a_signal_ends_by_itself():
    with StopFlag() as stop:
        told = stop.wait(0.001)

        assert not told


def test_a_negative_wait_does_not_wait():
    with StopFlag() as stop:
        told = stop.wait(-1)

        assert not told


def test_the_handlers_of_before_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with StopFlag():
        within = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert within != before
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("package", ["scheduler", "worker"])
@pytest.mark.parametrize(
    ("argument", "status", "says"),
    [("--help", 0, "its settings are in the environment"), ("--verbose", 2, "unrecognized")],
)
def test_a_process_starts_with_no_argument(package, argument, status, says):
    ran = subprocess.run(
        [sys.executable, "-m", package, argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ran.returncode == status
    assert f"usage: python -m {package}" in ran.stdout + ran.stderr
    assert says in " ".join((ran.stdout + ran.stderr).split())
