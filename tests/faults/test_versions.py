"""Two releases at once, over a migration: what there is of the one works beside the other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from first_release import FirstRelease
from named import Definition, Order
from playhouse.migrations import Runner
from servers import Postgres
from system import System
from waiting import wait_until

from shared import clock, db, migrations

pytestmark = pytest.mark.slow
at_present = pytest.mark.parametrize(
    "database_url", ["present_sqlite", "present_postgres"], indirect=True
)
at_first = pytest.mark.parametrize(
    "database_url", ["first_sqlite", "first_postgres"], indirect=True
)

ROOT = Path(__file__).parent.parent.parent
MIGRATION = """
def up(migrator, db):
    for table in ("agent", "schedule", "run", "run_event", "worker", "scheduler"):
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN mood TEXT")
    db.execute_sql("CREATE INDEX run_mood ON run (mood, status)")
    db.execute_sql("CREATE TABLE mood (id INTEGER PRIMARY KEY)")
"""


class NextRelease:
    """The packages as they are, with one more migration."""

    def __init__(self, system, folder: Path) -> None:
        self._system = system
        self._folder = folder
        for package in ("api", "cli", "scheduler", "shared", "worker"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, folder / package, ignore=ignored)
        (folder / "shared" / "migrations" / "9001_moods.py").write_text(MIGRATION)

    def start(self, kind):
        """Start a scheduler or a worker of it."""
        command = f"--chdir={self._folder} {sys.executable} -m {kind}"
        return System.start(self._system, kind, command=command)

    def migrate(self):
        """Bring the database up to date with it; what that said."""
        return migrate(self._system, self._folder)


def migrate(system, folder):
    """What `agent-manager migrate` says, of the release in *folder*."""
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main(['migrate'])"],
        cwd=folder,
        env=system.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def soon() -> datetime:
    """An instant that is still to come when a few requests have been made."""
    return clock.now() + timedelta(seconds=8)


@pytest.fixture
def empty_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The url of a PostgreSQL database of the test's own, in which there is nothing."""
    name = f"empty_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def present_sqlite_url(sqlite_url: str) -> str:
    """The url of an SQLite database as this release makes it."""
    return sqlite_url


@pytest.fixture
def present_postgres_url(empty_postgres_url: str) -> str:
    """The url of a PostgreSQL database as this release makes it."""
    return migrated(empty_postgres_url)


@pytest.fixture
def first_sqlite_url(tmp_path: Path) -> str:
    """The url of an SQLite database as the first release made it."""
    return migrated(f"sqlite:///{tmp_path}/first.db", up_to="0001_initial")


@pytest.fixture
def first_postgres_url(empty_postgres_url: str) -> str:
    """The url of a PostgreSQL database as the first release made it."""
    return migrated(empty_postgres_url, up_to="0001_initial")


def migrated(url: str, *, up_to: str | None = None) -> str:
    """Migrate a database; its url."""
    database = db.connect(url)
    with database.connection_context(), database.atomic():
        Runner(database, directory=str(Path(migrations.__file__).parent)).up(up_to)
    if not db.is_sqlite():
        database.close_all()
    db.proxy.obj = None
    return url


@pytest.fixture
def next_release(system, tmp_path):
    return NextRelease(system, tmp_path / "next")


@at_present
def test_all_goes_on_while_a_migration_adds_to_the_tables(
    system, next_release, outside, orders, checked
):
    agent = outside.agent(seconds=0.1)
    processes = system.start_all("web", "scheduler", "scheduler", "worker", "worker")
    for _ in range(40):
        orders.run(agent)
    orders.one_time(40, agent)
    orders.minutely(3, agent)
    outside.wait_for("ended", 5)

    assert next_release.migrate() == "Applied 9001_moods.\n"
    for _ in range(5):
        orders.run(agent, by_api=True)
    orders.one_time(5, agent, at=soon(), by_api=True)
    newer = [next_release.start("scheduler"), next_release.start("worker")]
    orders.one_time(20, agent)

    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
    assert [process.poll() for process in [*processes, *newer]] == [None] * 7


@at_present
def test_what_needs_a_migration_waits_for_it_and_what_does_not_starts_after_it_as_well(
    system, next_release, outside, orders, checked
):
    agent = outside.agent()
    too_new = [next_release.start("scheduler"), next_release.start("worker")]
    wait_until(lambda: all(each.poll() == 1 for each in too_new), "both to refuse", timeout=30)
    assert system.logs().count("lacks 9001_moods: run `agent-manager migrate` first") == 2

    next_release.migrate()
    newer = next_release.start("worker")
    older = system.start_all("web", "scheduler")
    orders.run(agent, by_api=True)
    orders.one_time(5, agent)

    checked()
    assert [process.poll() for process in [newer, *older]] == [None] * 3
    assert migrate(system, ROOT) == "The database is up to date.\n"


@at_first
def test_the_first_release_works_on_beside_this_one(system, outside, orders, checked):
    agent = outside.agent(seconds=0.1)
    old = FirstRelease(outside.path)

    def order_of_old(count):
        for _ in range(count):
            orders.runs.append(old.run(agent))
            asked, run_at = clock.now(), clock.now() + timedelta(seconds=1)
            made = Order(old.schedule(agent, run_at).hex)
            made.definitions.append(Definition(asked=asked, answered=clock.now(), run_at=run_at))
            orders.list.append(made)

    with old:
        order_of_old(10)
        outside.wait_for("ended", 5)
        refusing = system.start("scheduler")
        wait_until(lambda: refusing.poll() == 1, "this release to refuse", timeout=30)

        migrate(system, ROOT)
        system.start_all("web", "scheduler", "worker")
        before = len(outside.lines("ended"))
        for _ in range(3):
            order_of_old(5)
            orders.run(agent, by_api=True)
            orders.one_time(5, agent, at=soon(), by_api=True, keep_last=100)

        def both_work() -> bool:
            order_of_old(1)
            assert old.failed == []
            ended = outside.lines("ended")[before:]
            return {line.pid == os.getpid() for line in ended} == {True, False}

        wait_until(both_work, "both releases to execute runs", timeout=60)
        snapshot = checked()

    assert old.failed == []
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
