"""Fixtures for all: a database of each kind, a Valkey server, the settings that name them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import peewee
import psycopg
import pytest
from servers import Postgres, Valkey
from system import System
from tables import TABLES

from shared import db
from shared.migrations import migrate
from shared.settings import Settings


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server, for tests that make databases of their own."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: Postgres) -> str:
    """The url of a migrated PostgreSQL database, to be emptied for each test."""
    postgres_server.execute("CREATE DATABASE test")
    url = postgres_server.url("test")
    _migrate(url)
    with psycopg.connect(url) as connection:
        profiles = "SELECT * FROM compute_profile"
        connection.execute(f"CREATE TABLE profile_of_the_first_start AS {profiles}")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, which every test's database copies."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """A Valkey server for all tests that leave it running."""
    with Valkey() as server:
        yield server


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The url of a migrated, empty SQLite database."""
    path = tmp_path / "test.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """The url of a migrated, empty PostgreSQL database."""
    _empty(postgres_database)
    return postgres_database


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The url of a migrated, empty database: once on SQLite, once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[peewee.Database]:
    """The migrated, empty database that the models speak to."""
    connected = db.connect(database_url)
    yield connected
    _disconnect(connected)


@pytest.fixture
def valkey(valkey_server: Valkey) -> str:
    """The url of a real, empty Valkey server."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
def settings(database_url: str, valkey: str) -> Settings:
    """The settings of a process that works on the test's database and Valkey."""
    return Settings(database_url=database_url, redis_url=valkey)


@pytest.fixture
def system(
    database: object, database_url: str, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The processes as they are deployed; nothing of them runs yet."""
    running = System(database_url, valkey, tmp_path_factory.mktemp("logs"))
    try:
        yield running
    finally:
        running.stop()
        print(running.logs())  # pytest shows it where a test failed.


def _migrate(url: str) -> None:
    database = db.connect(url)
    migrate(database)
    _disconnect(database)


def _empty(url: str) -> None:
    """Empty a PostgreSQL database, of rows and of whoever an earlier test left connected."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # Much faster than TRUNCATE on tables that hold next to nothing.
        for table in reversed(TABLES):
            connection.execute(f'DELETE FROM "{table._meta.table_name}"')
        # The one that a migration makes.
        connection.execute("INSERT INTO compute_profile SELECT * FROM profile_of_the_first_start")


def _disconnect(database: peewee.Database) -> None:
    database.close()
    if not db.is_sqlite():
        database.close_all()
    db.proxy.obj = None
