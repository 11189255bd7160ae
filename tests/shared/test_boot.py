"""How a scheduler or a worker begins."""

from pathlib import Path

import pytest
from peewee import OperationalError
from servers import Postgres, Valkey

from shared import boot, db, messages, migrations
from shared.errors import SettingsError
from shared.process import StopFlag


@pytest.fixture
def environ(monkeypatch):
    yield monkeypatch.setenv
    db.proxy.close()
    if not db.is_sqlite():
        db.proxy.close_all()
    db.proxy.obj = None


def begin():
    with StopFlag() as stop:
        return boot.boot(stop)


def test_it_begins_with_the_settings_of_the_environment(environ, database_url):
    environ("DATABASE_URL", database_url)
    environ("AGENT_MANAGER_WORKER_THREADS", "3")

    assert begin().worker_threads == 3


def test_it_waits_for_a_database_that_is_away(environ, database_url, monkeypatch, caplog):
    environ("DATABASE_URL", database_url)
    caplog.set_level("INFO")
    answers = iter([OperationalError("connection\nrefused"), None])

    def require_current(database):
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(migrations, "require_current", require_current)
    monkeypatch.setattr(boot, "_TRY_AGAIN_SECONDS", 0)
    monkeypatch.setattr(boot.log, "setup", lambda level: None)

    assert begin() is not None

    assert "cannot reach the database, will keep trying: connection refused" in caplog.text
    assert "can reach the database again" in caplog.text


def test_it_stops_waiting_when_it_is_told_to(environ, database_url, monkeypatch):
    environ("DATABASE_URL", database_url)
    stop = StopFlag()

    def require_current(database):
        stop.signals += 1
        raise OperationalError("gone")

    monkeypatch.setattr(migrations, "require_current", require_current)

    with stop:
        assert boot.boot(stop) is None


def test_it_refuses_a_database_that_lacks_migrations(environ, tmp_path):
    environ("DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")

    all_of_them = ", ".join(
        sorted(each.stem for each in Path(migrations.__file__).parent.glob("0*.py"))
    )
    with pytest.raises(
        SettingsError, match=f"lacks {all_of_them}: run `agent-manager migrate` first"
    ):
        begin()


def test_a_database_that_does_not_exist_is_waited_for_on_postgres(
    environ, postgres_server: Postgres, monkeypatch
):
    environ("DATABASE_URL", postgres_server.url("nowhere"))
    stop = StopFlag()
    monkeypatch.setattr(boot, "_TRY_AGAIN_SECONDS", 0)
    begins = boot.Trouble.begins

    def note(self, error):
        stop.signals += 1
        begins(self, error)

    monkeypatch.setattr(boot.Trouble, "begins", note)

    with stop:
        assert boot.boot(stop) is None


@pytest.fixture
def redis_of_its_own():
    with Valkey() as server, messages.publisher(server.url) as client:
        yield server.url, client


def test_it_refuses_a_redis_that_evicts_messages(environ, database_url, redis_of_its_own):
    url, client = redis_of_its_own
    environ("DATABASE_URL", database_url)
    environ("REDIS_URL", url)
    client.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(SettingsError, match=r"its policy is allkeys-lru\. Set its .* noeviction"):
        begin()


def test_it_warns_of_a_redis_that_would_evict_what_expires(
    environ, database_url, redis_of_its_own, monkeypatch, caplog
):
    url, client = redis_of_its_own
    environ("DATABASE_URL", database_url)
    environ("REDIS_URL", url)
    client.config_set("maxmemory-policy", "volatile-lru")
    monkeypatch.setattr(boot.log, "setup", lambda level: None)

    assert begin() is not None

    assert "volatile-lru" in caplog.text
    assert "noeviction" in caplog.text


def test_it_begins_without_redis_and_says_so(environ, database_url, monkeypatch, caplog):
    environ("DATABASE_URL", database_url)
    environ("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    monkeypatch.setattr(boot.log, "setup", lambda level: None)

    assert begin() is not None

    assert "cannot reach Redis, will keep trying" in caplog.text
    assert "hunter2" not in caplog.text
