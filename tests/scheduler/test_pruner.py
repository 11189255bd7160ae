"""The pruner takes a moment at a time, and goes on where it stopped."""

from datetime import timedelta

import pytest
from factories import NOON, make_run
from peewee import OperationalError

from scheduler import pruner as module
from scheduler.pruner import Pruner
from shared import retention
from shared.ids import uuid7
from shared.models import Run
from shared.states import COMPLETED

pytestmark = pytest.mark.usefixtures("database")

OLD = NOON - timedelta(days=30)


@pytest.fixture
def pruner(monkeypatch):
    """A pruner that has all the time it wants."""
    monkeypatch.setattr(module, "_AT_LONGEST_SECONDS", 60.0)
    return Pruner(days=7)


@pytest.fixture
def no_time(pruner, monkeypatch):
    """Let each go end with its first step."""
    monkeypatch.setattr(module, "_AT_LONGEST_SECONDS", 0.0)
    monkeypatch.setattr(retention, "_DELETED_AT_ONCE", 1)


def make_old(number):
    for _ in range(number):
        make_run(id=uuid7(OLD), status=COMPLETED, finished_at=OLD)


def lines(caplog):
    return [record.message for record in caplog.records if record.name == module.__name__]


def test_what_there_is_time_for_is_pruned_in_one_go_and_said_once(pruner, caplog):
    caplog.set_level("INFO")
    make_old(60)

    more = pruner.prune(NOON)

    assert not more
    assert Run.select().count() == 0
    assert lines(caplog) == ["runs pruned: 60"]


def test_a_go_ends_when_its_time_is_up_and_the_next_goes_on(pruner, no_time, caplog):
    caplog.set_level("INFO")
    make_old(3)

    assert pruner.prune(NOON)
    assert Run.select().count() == 2
    assert lines(caplog) == []

    while pruner.prune(NOON):
        pass
    assert Run.select().count() == 0
    assert lines(caplog) == ["runs pruned: 3"]


def test_what_takes_long_is_said_once_a_minute(pruner, no_time, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(module, "_SAID_AFTER_SECONDS", 0.0)
    make_old(2)

    while pruner.prune(NOON):
        pass

    assert lines(caplog) == ["runs pruned: 1"] * 2


def test_nothing_to_prune_is_not_worth_a_word(pruner, caplog):
    caplog.set_level("INFO")

    assert not pruner.prune(NOON)

    assert lines(caplog) == []


def test_after_a_failure_the_next_go_begins_again(pruner, monkeypatch):
    make_old(1)

    def failing(**_):
        yield 0
        raise OperationalError("gone")

    with monkeypatch.context() as away:
        away.setattr(retention, "prune", failing)
        with pytest.raises(OperationalError):
            pruner.prune(NOON)
    more = pruner.prune(NOON)

    assert not more
    assert Run.select().count() == 0


def test_two_of_them_share_the_work(pruner, no_time):
    make_old(6)
    another = Pruner(days=7)

    while pruner.prune(NOON) | another.prune(NOON):
        pass

    assert Run.select().count() == 0
