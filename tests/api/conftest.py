"""Fixtures for the API: the application on a real database, and a client for each role."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from clients import DOCUMENTED, Client
from factories import NOON, make_agent
from flask import Flask

from api.app import create_app
from shared import clock, db, reference, tokens
from shared.settings import Settings
from shared.states import Role


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system's clock, and the database's, stand still at noon."""
    ahead = reference.ahead

    def asked_in_vain(now: Callable[[], datetime]) -> timedelta:
        ahead(now)
        return timedelta()

    monkeypatch.setattr(clock, "now", lambda: NOON)
    monkeypatch.setattr(reference, "ahead", asked_in_vain)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application on the test's database and Valkey."""
    yield create_app(settings)
    db.proxy.close()
    if not db.is_sqlite():
        db.proxy.close_all()
    db.proxy.obj = None


@pytest.fixture
def client_of(app: Flask) -> Callable[[Role], Client]:
    """Makes a client with a token of a role."""

    def make(role: Role) -> Client:
        with db.connection():
            _, token = tokens.create(role.value, role, now=NOON)
        return Client(app.test_client(), token)

    return make


@pytest.fixture
def anyone(app: Flask) -> Client:
    """A client without a token."""
    return Client(app.test_client(), None)


@pytest.fixture
def viewer(client_of: Callable[[Role], Client]) -> Client:
    """A client that may read."""
    return client_of(Role.VIEWER)


@pytest.fixture
def operator(client_of: Callable[[Role], Client]) -> Client:
    """A client that may change schedules."""
    return client_of(Role.OPERATOR)


@pytest.fixture
def admin(client_of: Callable[[Role], Client]) -> Client:
    """A client that may do all."""
    return client_of(Role.ADMIN)


@pytest.fixture
def finance_agent(app: Flask) -> str:
    """The id of the agent that the documented calls name."""
    return str(make_agent("finance_agent").id)


@pytest.fixture
def schedule_id(operator: Client, finance_agent: str) -> str:
    """The id of the documented schedule."""
    return str(operator.post("/schedules", DOCUMENTED).json["id"])
