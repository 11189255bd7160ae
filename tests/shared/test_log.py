"""How a trouble that lasts is said."""

import logging

import pytest

from shared import clock
from shared.log import Trouble

logger = logging.getLogger("test")


@pytest.fixture
def at(monkeypatch):
    """Set the monotonic clock."""
    return lambda seconds: monkeypatch.setattr(clock, "monotonic", lambda: seconds)


def test_a_trouble_is_said_when_it_begins_once_a_minute_and_when_it_is_over(at, caplog):
    caplog.set_level("INFO")
    trouble = Trouble(logger, "tick")

    for seconds in (0, 30, 59, 60, 90):
        at(seconds)
        trouble.begins(OSError("no\nroute"))
    trouble.ends()
    trouble.ends()

    assert caplog.messages == [
        "cannot tick, will keep trying: no route",
        "cannot tick, will keep trying: no route",
        "can tick again",
    ]


def test_an_error_without_words_is_named(caplog):
    Trouble(logger, "tick").begins(TimeoutError())

    assert "TimeoutError" in caplog.text
