"""The names of time zones."""

import pytest

from shared import zones
from shared.errors import Invalid


@pytest.fixture
def unread():
    """Nobody has asked for the names yet, nor will have been answered by what a test says."""
    zones._names.cache_clear()
    yield
    zones._names.cache_clear()


def test_the_systems_files_are_read_once_and_by_one_thread_at_a_time(unread, monkeypatch):
    alone = []

    def available():
        alone.append(zones._reading.locked())
        return {"Europe/Berlin", "Factory"}

    monkeypatch.setattr(zones, "available_timezones", available)

    assert zones.names() == zones.names() == {"Europe/Berlin"}
    assert alone == [True]


def test_an_unknown_name_is_refused_with_those_that_come_near():
    with pytest.raises(Invalid) as refused:
        zones.load_zone("europe/berlim")

    assert "Europe/Berlin" in refused.value.fields["timezone"][0]
