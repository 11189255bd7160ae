"""What every process stands on, whole and broken."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
import redis
from peewee import Database
from servers import Postgres, Valkey

from shared import clock, db, messages, surroundings, zones
from shared.errors import Invalid
from shared.findings import FAIL, OK, WARN
from shared.messages import Sending, publisher

Connect = Callable[..., Database]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`db.connect`, undone at the end."""
    yield db.connect
    db.proxy.close()
    if not db.is_sqlite():
        db.proxy.close_all()


@pytest.fixture(params=["sqlite", "postgres"])
def database_without_tables(
    request: pytest.FixtureRequest, connect: Connect, tmp_path: Path
) -> Iterator[None]:
    if request.param == "sqlite":
        (tmp_path / "empty.db").touch()
        connect(f"sqlite:///{tmp_path}/empty.db")
        yield
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    server.execute("CREATE DATABASE without_tables")
    connect(server.url("without_tables"))
    yield
    server.execute("DROP DATABASE without_tables WITH (FORCE)")


def test_a_database_that_answers_is_well(database: Database) -> None:
    assert surroundings.database().status is OK
    assert surroundings.migrated().status is OK


def test_looking_for_a_database_does_not_make_one(connect: Connect, tmp_path: Path) -> None:
    connect(f"sqlite:///{tmp_path}/none.db")

    finding = surroundings.database()

    assert finding.status is FAIL
    assert "agent-manager migrate" in finding.cure
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named_in_the_cause_only(
    connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "odd.db").write_text("These are not the pages you are looking for. " * 100)
    connect(f"sqlite:///{tmp_path}/odd.db")

    finding = surroundings.database()

    assert (finding.status, finding.says) == (FAIL, "The database cannot be used.")
    assert finding.cause == "file is not a database"


def test_a_server_that_is_away_is_named_in_the_cause_only(connect: Connect) -> None:
    connect("postgresql://me:hunter2@127.0.0.1:1/it")

    finding = surroundings.database()

    assert finding.status is FAIL
    assert "127.0.0.1" not in finding.says + finding.cure
    assert "127.0.0.1" in finding.cause
    assert "hunter2" not in str(finding)


def test_connections_that_outlived_their_server_are_no_finding(
    postgres_server: Postgres, connect: Connect
) -> None:
    pool = connect(postgres_server.url())
    both = Barrier(2)

    def use_a_connection() -> int:
        with pool.connection_context():
            both.wait(10)
            (pid,) = pool.execute_sql("SELECT pg_backend_pid()").fetchone()
        return pid

    with ThreadPoolExecutor(2) as threads:
        used = [threads.submit(use_a_connection) for _ in range(2)]
    for each in used:
        postgres_server.execute(f"SELECT pg_terminate_backend({each.result()}, 5000)")

    assert surroundings.database().status is OK


def test_an_exhausted_pool_is_a_finding(postgres_server: Postgres, connect: Connect) -> None:
    pool = connect(postgres_server.url(), connections=1)
    pool.init("postgres", timeout=0.01)
    pool.connect()
    held = pool.connection()
    pool._state.reset()  # As if another thread held it.

    finding = surroundings.database()

    held.close()
    assert finding.status is FAIL
    assert "connections" in finding.cause


def test_a_database_without_tables_says_which_it_lacks(database_without_tables: None) -> None:
    finding = surroundings.migrated()

    assert finding.status is FAIL
    assert "0001_initial" in finding.says
    assert "agent-manager migrate" in finding.cure


def test_a_redis_that_evicts_nothing_is_well(valkey: str) -> None:
    assert surroundings.broker(publisher(valkey)).status is OK


def test_a_redis_that_evicts_is_not() -> None:
    with Valkey() as server:
        client = publisher(server.url)
        client.config_set("maxmemory-policy", "allkeys-lru")

        finding = surroundings.broker(client)

    assert finding.status is FAIL
    assert "allkeys-lru" in finding.says
    assert "noeviction" in finding.cure


def test_a_redis_that_evicts_only_what_expires_is_a_warning() -> None:
    finding = surroundings.keeping("volatile-ttl")

    assert (finding.status, "volatile-ttl" in finding.says) == (WARN, True)
    assert "noeviction" in finding.cure


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_what_is_not_called_a_failure_keeps_every_message_when_it_is_full(policy: str) -> None:
    with Valkey() as server, publisher(server.url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
        client.config_set("maxmemory-policy", policy)

        taken = fill(client)

        assert surroundings.broker(client).status is not FAIL
        assert taken <= messages.waiting(client, messages.RUNS_QUEUE) < taken + 100


def fill(client: redis.Redis) -> int:
    """Send messages until Redis takes no more; how many it has taken."""
    taken = 0
    with suppress(redis.exceptions.OutOfMemoryError):
        while True:
            messages.send(
                client, messages.RUNS_QUEUE, [Sending(uuid4().hex, 0) for _ in range(100)]
            )
            taken += 100
    return taken


def test_a_redis_that_forbids_config_tells_its_policy_otherwise() -> None:
    with Valkey() as server:
        publisher(server.url).acl_setuser(
            "us", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-config"]
        )
        client = publisher(server.url.replace("unix://", "unix://us:pw@"))

        finding = surroundings.broker(client)

    assert finding.status is OK


def test_a_redis_that_hides_its_policy_is_a_warning() -> None:
    with Valkey() as server:
        publisher(server.url).acl_setuser(
            "us",
            enabled=True,
            passwords=["+pw"],
            categories=["+@all"],
            commands=["-config", "-info"],
        )
        client = publisher(server.url.replace("unix://", "unix://us:pw@"))

        finding = surroundings.broker(client)

    assert (finding.status, bool(finding.cure)) == (WARN, True)


def test_a_redis_that_is_away_is_a_finding() -> None:
    finding = surroundings.broker(publisher("redis://:hunter2@127.0.0.1:1/0"))

    assert finding.status is FAIL
    assert "127.0.0.1" not in finding.says + finding.cure
    assert "127.0.0.1:1" in finding.cause
    assert "hunter2" not in str(finding)


def test_one_clock_or_two_that_agree_are_well(database: Database) -> None:
    assert surroundings.skew(clock.now).status is OK


@pytest.mark.parametrize(("seconds", "status"), [(2, WARN), (-2, WARN), (60, FAIL), (-60, FAIL)])
def test_clocks_that_are_apart_are_found(
    postgres_server: Postgres, connect: Connect, seconds: int, status: str
) -> None:
    connect(postgres_server.url())

    with db.connection():
        finding = surroundings.skew(lambda: clock.now() + timedelta(seconds=seconds))

    assert finding.status is status
    assert "NTP" in finding.cure


@pytest.mark.parametrize(
    ("system", "package", "status", "says"),
    [
        ("2026f", "2026f", OK, "the system's, of release 2026f"),
        ("2026f", None, OK, "the system's, of release 2026f"),
        (None, "2026f", OK, "those of release 2026f"),
        (None, None, OK, "an unknown release"),
        ("2025b", "2026f", WARN, "of 2025b"),
    ],
)
def test_old_time_zone_data_are_noticed(
    system: str | None, package: str | None, status: str, says: str
) -> None:
    finding = surroundings.zones_known(system, package)

    assert finding.status is status
    assert says in finding.says


def test_missing_time_zone_data_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_zone(name: str) -> None:
        raise Invalid({"timezone": ["There is no time zone."]})

    monkeypatch.setattr(zones, "load_zone", no_zone)

    finding = surroundings.zones_known(None, None)

    assert finding.status is FAIL
    assert "tzdata" in finding.cure
