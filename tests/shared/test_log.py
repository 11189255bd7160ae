"""How a trouble that lasts is said."""

import logging
from queue import SimpleQueue

import pytest

from shared import clock, log
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


def test_lines_that_nobody_takes_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(log, "_MOST_LINES_WAITING", 2)
    waiting = SimpleQueue()
    lines = log._Lines(waiting)

    for number in range(5):
        lines.handle(logging.makeLogRecord({"msg": "line %d", "args": (number,)}))
    seen = [waiting.get().msg for _ in range(2)]
    lines.handle(logging.makeLogRecord({"msg": "line %d", "args": (5,)}))

    assert seen == ["line 0", "line 1"]
    assert waiting.get().msg == "line 5 (3 lines before this one were lost)"
    assert waiting.empty()
