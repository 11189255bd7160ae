"""What a scenario is written with: a system, an outside world, orders, and somebody who checks.

    def test_a_scheduler_killed_before_its_commit_loses_nothing(system, outside, orders, checked):
        agent = outside.agent(seconds=0.2)
        orders.one_time(10, agent)
        first = system.start("scheduler", "scheduler.before_commit=kill")
        system.start("worker")
        system.wait_for_death(first)

        system.start("scheduler")

        checked()

Each runs on both databases; `databases` has marks for those that do not. A scenario of more than
some seconds is marked `slow`: then it is part of `make faults`, not of `make test`. Whatever
breaks a server takes one of its own: `own_valkey`, `own_postgres`, or a proxy before the one that
all share. `armed` says what failpoints can do.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import record
import report
from breaking import BreakableSystem
from checker import check
from faketime import FakeClock
from orders import Orders
from outside import Outside
from proxy import Proxy
from record import Snapshot
from servers import Postgres, Valkey

from shared import db
from shared.migrations import migrate


@pytest.fixture
def system(
    database: object, database_url: str, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BreakableSystem]:
    """A system of which nothing runs yet: `system.start("worker", "worker.after_claim=kill")`.

    All the while somebody watches that what has ended does not change.
    """
    running = BreakableSystem(database_url, valkey, tmp_path_factory.mktemp("logs"))
    with running.witness:
        try:
            yield running
        finally:
            running.stop()
            print(running.logs())  # pytest shows it where a test failed.
    assert running.witness.broken == []


@pytest.fixture
def outside(database: object, tmp_path: Path) -> Outside:
    """Agents that tell a file what they do: `.agent(seconds=1)`, `.lines("began")`."""
    return Outside(tmp_path / "outside.jsonl")


@pytest.fixture
def orders(system: BreakableSystem) -> Orders:
    """Schedules and runs that are asked for: `orders.one_time(10, agent)`, `orders.run(agent)`."""
    return Orders(system)


@pytest.fixture
def checked(system: BreakableSystem, outside: Outside, orders: Orders) -> Callable[..., Snapshot]:
    """Wait until all is quiet, and check every promise; what was read then.

    `checked(timeout=120, on_time=…, clocks_lie=…, earlier=…)`; see `checker.check`.
    """

    def quiet_and_checked(*, timeout: float = 120, **options: Any) -> Snapshot:
        snapshot = system.wait_until_quiet(timeout=timeout)
        orders.find_unanswered(snapshot)
        lines = record.lines(outside.path)
        accepted = [*orders.runs, *orders.batches]
        check(snapshot, lines, orders.list, accepted=accepted, **options)
        return snapshot

    return quiet_and_checked


@pytest.fixture
def long_leases(system: BreakableSystem) -> None:
    """Leases so long that nobody loses one, however busy the machine is that tests this."""
    system.environ["AGENT_MANAGER_RUN_LEASE"] = "20"


@pytest.fixture
def fake_clock(tmp_path: Path) -> FakeClock:
    """A clock to be set: `system.start("worker", environ=fake_clock.environ)`, `.shift(7200)`."""
    return FakeClock(tmp_path)


@pytest.fixture
def own_valkey(system: BreakableSystem) -> Iterator[Valkey]:
    """A Valkey server of the test's own, which it may break; the system is told to use it."""
    with Valkey() as server:
        system.environ["REDIS_URL"] = server.url
        yield server


@pytest.fixture
def redis_proxy(system: BreakableSystem, valkey_server: Valkey) -> Iterator[Proxy]:
    """A proxy before the Valkey server; the system is told to go through it."""
    with Proxy(str(valkey_server.folder / "valkey.sock")) as proxy:
        system.environ["REDIS_URL"] = proxy.redis_url
        yield proxy


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the test's own, which it may break; for tests `@on_own_postgres`."""
    with Postgres() as server:
        server.execute("CREATE DATABASE own")
        database = db.connect(server.url("own"))
        migrate(database)
        database.close_all()
        db.proxy.obj = None
        yield server


@pytest.fixture
def own_postgres_url(own_postgres: Postgres) -> str:
    """The url of its migrated, empty database."""
    return own_postgres.url("own")


@pytest.fixture
def postgres_proxy(system: BreakableSystem, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """A proxy before PostgreSQL; the system is told to go through it, the tests read past it."""
    own = "own" in system.database_url.partition("?")[0]
    server: Postgres = request.getfixturevalue("own_postgres" if own else "postgres_server")
    with Proxy(str(server.folder / ".s.PGSQL.5432")) as proxy:
        system.environ["DATABASE_URL"] = proxy.postgres_url("own" if own else "test")
        yield proxy


@pytest.fixture(autouse=True)
def _time() -> None:
    """Which time of TIMES this is: a name for the parameter that repeats a scenario."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fault-report`, which `make faults` gives."""
    parser.addoption("--fault-report", action="store_true", help="End with a report.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each scenario as often as the environment variable TIMES says."""
    times = int(os.environ.get("TIMES") or 1)
    if times > 1:
        metafunc.fixturenames.append("_time")
        metafunc.parametrize("_time", range(times), ids=[f"time{n}" for n in range(1, times + 1)])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """End with a report of the scenarios."""
    report.write(terminalreporter)
