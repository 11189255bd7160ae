"""What an api process has counted is written down behind its answers."""

from types import SimpleNamespace

import pytest
from clients import DOCUMENTED
from peewee import OperationalError

from api import bookkeeping, gunicorn_conf
from shared import clock, db, tally
from shared.models import Tally
from shared.tally import Count


@pytest.fixture(autouse=True)
def book(monkeypatch):
    """What this process has counted: nothing yet."""
    monkeypatch.setattr(tally, "_book", tally._Book())


@pytest.fixture
def at(monkeypatch):
    """Set the monotonic clock."""
    return lambda seconds: monkeypatch.setattr(clock, "monotonic", lambda: seconds)


def answered(client):
    """Have a request answered, and the answer read to its end."""
    response = client.get("/schedules")
    response.close()
    return response.status_code


def written_down():
    with db.connection():
        return tally.total()[Count.RESENDS]


def test_what_was_counted_is_written_down_once_in_a_while(viewer, at):
    tally.add(Count.RESENDS)
    at(100.0)
    answered(viewer)
    tally.add(Count.RESENDS)
    answered(viewer)
    first = written_down()

    at(105.0)
    answered(viewer)

    assert (first, written_down()) == (1, 2)


def test_what_was_counted_since_is_written_down_at_the_end_of_the_process(app, viewer, at):
    at(100.0)
    answered(viewer)
    tally.add(Count.RESENDS)
    answered(viewer)
    before = written_down()

    gunicorn_conf.worker_exit(None, SimpleNamespace(wsgi=app))

    assert (before, written_down()) == (0, 1)


def test_a_process_that_ends_before_it_served_has_nothing_to_write_down():
    gunicorn_conf.worker_exit(None, SimpleNamespace(wsgi=None))


def test_a_process_that_counted_nothing_writes_nothing(viewer):
    answered(viewer)

    with db.connection():
        assert Tally.select().count() == 0


def test_a_request_does_not_fail_for_it(viewer, at, monkeypatch, caplog):
    def unreachable(*_, **__):
        raise OperationalError("gone")

    save = tally.save
    tally.add(Count.RESENDS)
    monkeypatch.setattr(bookkeeping.tally, "save", unreachable)
    at(100.0)
    while_away = answered(viewer)
    monkeypatch.setattr(bookkeeping.tally, "save", save)
    at(105.0)
    answered(viewer)

    assert while_away == 200
    assert "cannot write down its counts" in caplog.text
    assert written_down() == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_request_that_was_served_at_the_second_go_is_counted(operator, viewer, monkeypatch):
    execute = db.execute
    failures = [OperationalError("gone")]

    def execute_or_fail(*arguments):
        if failures:
            raise failures.pop()
        return execute(*arguments)

    monkeypatch.setattr(db, "execute", execute_or_fail)

    assert operator.post("/schedules", DOCUMENTED).status_code == 422  # There is no agent.

    with db.connection():
        tally.save("api", now=clock.now())
        assert tally.total()[Count.DATABASE_RETRIES] == 1
