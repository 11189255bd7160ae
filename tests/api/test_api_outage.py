"""A database that goes away, and comes back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from clients import DOCUMENTED, Client
from factories import NOON, make_agent, make_run
from peewee import OperationalError, ProgrammingError
from servers import Postgres
from serving import serving
from waiting import wait_until
from watching import events

from api import live
from api.app import create_app
from shared import db, history, tokens
from shared.events import Event, append
from shared.migrations import migrate
from shared.models import Schedule
from shared.settings import Settings
from shared.states import Role

ADMIN_TOKEN = "an admin's token in tests"


@pytest.fixture
def server(tmp_path):
    """A PostgreSQL server of the test's own, with a migrated database."""
    with Postgres() as server:
        server.execute("CREATE DATABASE own")
        yield server


@pytest.fixture
def own(server, valkey):
    """A client of an application on that server."""
    app = create_app(Settings(database_url=server.url("own"), redis_url=valkey))
    migrate(db.proxy.obj)
    with db.connection():
        _, token = tokens.create("test", Role.OPERATOR, now=NOON)
        make_agent("finance_agent")
    yield Client(app.test_client(), token)
    db.proxy.close_all()
    db.proxy.obj = None


def test_while_the_database_is_away_requests_are_to_be_repeated(own, server):
    server.kill()

    responses = [own.get("/schedules"), own.post("/schedules", DOCUMENTED)]

    for response in responses:
        assert response.status_code == 503
        assert response.content_type == "application/problem+json"
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_restart_of_the_database_goes_unnoticed(own, server, method):
    assert own.get("/schedules").status_code == 200
    server.stop()
    server.start()

    response = own(method, "/schedules", DOCUMENTED if method == "POST" else None)

    assert response.status_code in {200, 201}
    with db.connection():
        assert Schedule.select().count() == (method == "POST")


def test_a_restart_of_the_database_does_not_make_the_system_unready(own, server):
    assert own.get("/schedules").status_code == 200
    server.stop()
    server.start()

    checks = own.bare.get("/readyz").json["checks"]

    assert checks["database"]["status"] == "ok"


def test_a_replica_is_read_and_whatever_would_change_it_is_refused(own, server):
    server.execute("ALTER DATABASE own SET default_transaction_read_only = on")
    db.proxy.close_all()

    read = [own.get(path) for path in ("/schedules", "/runs", "/schedules/batches", "/queues")]
    response = own.post("/schedules", DOCUMENTED)

    assert [each.status_code for each in read] == [200] * 4
    assert response.status_code == 503
    assert own.get("/schedules").json["totalElements"] == 0


def test_who_watches_a_run_is_told_all_of_it_all_the_same(own, server, monkeypatch, caplog):
    monkeypatch.setattr(live, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(history, "_EVENTS_AT_ONCE", 3)
    with db.connection():
        run = make_run("finance_agent")
        append(run.id, 0, [Event(NOON, "log", {})] * 8)
    path, stream = f"/runs/{run.id}/events", {"Accept": "text/event-stream"}

    with own.get(path, headers=stream) as response, ThreadPoolExecutor(1) as pool:
        told = events(response)
        heard = [next(told) for _ in range(2)]
        server.kill()
        more = pool.submit(list, told)
        for trouble in ("cannot reach the database", "cannot look at the runs that are watched"):
            wait_until(lambda trouble=trouble: trouble in caplog.text, trouble)
        server.start()
        assert own.post(f"/runs/{run.id}/cancel").status_code == 200
        heard += more.result(30)

    assert [event.id for event in heard] == [None, *map(str, range(1, 9)), "ended"]


@pytest.fixture(params=["sqlite", "postgres"])
def lacking(request, tmp_path, valkey):
    """A client of an application whose database has no tables."""
    if request.param == "sqlite":
        (tmp_path / "bare.db").touch()
        url = f"sqlite:///{tmp_path}/bare.db"
    else:
        server = request.getfixturevalue("postgres_server")
        server.execute("CREATE DATABASE bare_for_api")
        url = server.url("bare_for_api")
    settings = Settings(database_url=url, redis_url=valkey, admin_token=ADMIN_TOKEN)
    with serving(settings) as client:
        yield Client(client, ADMIN_TOKEN)
    if request.param == "postgres":
        server.execute("DROP DATABASE bare_for_api WITH (FORCE)")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_database_that_lacks_tables_is_no_fault_of_ours(lacking, method):
    response = lacking(method, "/schedules", DOCUMENTED if method == "POST" else None)

    assert response.status_code == 503
    assert response.content_type == "application/problem+json"
    assert "0001_initial" in response.json["detail"]
    assert "agent-manager migrate" in response.json["detail"]


@pytest.mark.parametrize("error", [ProgrammingError("syntax error"), OperationalError("no such x")])
def test_what_the_database_does_not_understand_is_our_fault_if_it_lacks_nothing(
    viewer, monkeypatch, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(db, "execute", fail)

    assert viewer.get("/schedules").status_code == 500


def test_an_outage_is_said_once_and_so_is_its_end(own, server, caplog):
    caplog.set_level("INFO")
    server.kill()
    for _ in range(3):
        own.get("/schedules")
    server.start()
    wait_until(lambda: own.get("/schedules").status_code == 200)

    assert caplog.text.count("cannot reach the database") == 1
    assert caplog.text.count("can reach the database again") == 1
