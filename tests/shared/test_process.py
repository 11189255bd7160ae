"""StopFlag: a process that is told to end hears of it, whatever it waits for."""

import os
import signal
from threading import Thread

import pytest

from shared import clock
from shared.process import StopFlag


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
