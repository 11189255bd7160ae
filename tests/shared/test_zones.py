"""The names of time zones."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import zones
from shared.errors import Invalid


@pytest.fixture
def unread():
    """Nobody has asked for the names yet, nor will have been answered by what a test says."""
    zones._names.cache_clear()
    yield
    zones._names.cache_clear()


def test_the_systems_files_are_read_once_however_many_ask_at_once(unread, monkeypatch):
    calls, second = [], threading.Event()

    def available():
        calls.append(1)
        if len(calls) > 1:
            second.set()
        # So long that everybody would have come.
        second.wait(0.5)
        return {"Europe/Berlin", "Factory"}

    monkeypatch.setattr(zones, "available_timezones", available)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(zones.names) for _ in range(8)]

    assert {each.result() for each in asked} == {frozenset({"Europe/Berlin"})}

    assert len(calls) == 1


def test_an_unknown_name_is_refused_with_those_that_come_near():
    with pytest.raises(Invalid) as refused:
        zones.load_zone("europe/berlim")

    assert "Europe/Berlin" in refused.value.fields["timezone"][0]
