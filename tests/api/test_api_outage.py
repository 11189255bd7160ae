"""A database that goes away, and comes back."""

import pytest
from clients import DOCUMENTED, Client
from factories import NOON, make_agent
from servers import Postgres

from api.app import create_app
from shared import db, tokens
from shared.migrations import migrate
from shared.models import Schedule
from shared.settings import Settings
from shared.states import Role


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
