"""PostgreSQL that does not answer: it is not waited for without end."""

import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta

import peewee
import pytest
from servers import Postgres

from shared import db


@pytest.fixture
def server(postgres_server: Postgres) -> Postgres:
    """The server of all tests."""
    return postgres_server


@pytest.fixture
def impatient(server: Postgres) -> Iterator[None]:
    """The models speak to PostgreSQL, with little patience."""
    connected = db.connect(server.url(), patience=timedelta(seconds=0.5))
    yield
    connected.close_all()
    db.proxy.obj = None


@pytest.fixture
def table(server: Postgres) -> Iterator[None]:
    """A table `thing` with one row."""
    server.execute("CREATE TABLE thing AS SELECT 1 AS id")
    yield
    server.execute("DROP TABLE thing")


def backend() -> int:
    (pid,) = db.execute("SELECT pg_backend_pid()").fetchone()
    return int(pid)


def test_a_statement_that_takes_too_long_is_ended_by_the_server(impatient):
    with pytest.raises(peewee.OperationalError, match="statement timeout"), db.connection():
        db.execute("SELECT pg_sleep(60)")

    with db.connection():
        assert db.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_stands_still_is_given_up_and_another_connection_is_made(impatient):
    with db.connection():
        stopped = backend()
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(peewee.OperationalError, match=r"not answer within 1\.5 seconds"):
                db.execute("SELECT 1")
        finally:
            os.kill(stopped, signal.SIGCONT)

    with db.connection():
        assert backend() != stopped


def test_who_is_in_a_hurry_gives_up_sooner_and_whoever_comes_next_does_not(impatient):
    with db.connection(), db.hurried(timedelta(seconds=0.2)):
        stopped = backend()
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(peewee.OperationalError, match=r"not answer within 0\.2 seconds"):
                db.execute("SELECT 1")
        finally:
            os.kill(stopped, signal.SIGCONT)

    with db.connection():
        before = db.proxy.connection().seconds
        with db.hurried(timedelta(seconds=0.2)):
            db.execute("SELECT 1")
        assert db.proxy.connection().seconds == before == 1.5


def test_a_connection_that_the_server_ended_meanwhile_is_not_used_again(impatient, server):
    with db.connection():
        ended = backend()
    server.execute(f"SELECT pg_terminate_backend({ended}, 5000)")

    with db.connection():
        assert backend() != ended


def test_a_transaction_in_which_nothing_happens_keeps_nobody_waiting(impatient, table, server):
    locked, may_end = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def stand_still() -> None:
        try:
            with db.transaction():
                db.execute("UPDATE thing SET id = 2")
                locked.set()
                may_end.wait(20)
        except db.UNREACHABLE as error:
            raised.append(error)

    thread = threading.Thread(target=stand_still)
    thread.start()
    assert locked.wait(10)

    server.execute("UPDATE thing SET id = 3")
    may_end.set()
    thread.join(10)

    assert len(raised) == 1


def test_without_a_limit_a_statement_may_take_as_long_as_it_likes(server):
    connected = db.connect(server.url())
    try:
        with db.connection():
            timeouts = [
                db.execute(f"SHOW {name}").fetchone()
                for name in ("statement_timeout", "idle_in_transaction_session_timeout")
            ]
    finally:
        connected.close_all()
        db.proxy.obj = None

    assert timeouts == [("0",), ("0",)]


def test_where_one_connection_failed_those_that_idle_are_given_up_with_it(impatient):
    both_open = threading.Barrier(2)
    idle: list[int] = []

    def idle_soon() -> None:
        with db.connection():
            idle.append(backend())
            both_open.wait(10)

    thread = threading.Thread(target=idle_soon)
    thread.start()
    with db.connection():
        failing = backend()
        both_open.wait(10)
        thread.join(10)
        with pytest.raises(peewee.OperationalError):
            db.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with db.connection():
        assert backend() not in {failing, *idle}
