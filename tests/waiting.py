"""Waiting for a condition: the only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str = "", *, timeout: float = 10) -> T:
    """Poll *condition* until it gives something true, and give that.

    Fails the test after *timeout* seconds, saying *what* it waited for and what it saw last.
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while not (seen := condition()):
        if time.monotonic() > deadline:
            waited_for = what or getattr(condition, "__name__", repr(condition))
            pytest.fail(f"Waited {timeout:g} s in vain for: {waited_for}. Last seen: {seen!r}.")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return seen


def let_pass(seconds: float) -> None:
    """Let time pass, where it is how long something lasts that a test is about."""
    time.sleep(seconds)
