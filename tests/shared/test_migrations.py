"""Migrations: they make what the models say, once, however many run them."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import peewee
import psycopg
import pytest
from factories import LEASE, NOON, held, make_batch, make_budget, make_run
from playhouse.migrations import Runner
from schemas import schema_of
from servers import Postgres
from tables import TABLES
from waiting import wait_until

from shared import db, migrations, runs
from shared.attempts import Lease, Outcome, Usage
from shared.batches.models import BatchProgress
from shared.budgets.models import BudgetPeriod
from shared.db import stamp
from shared.errors import SettingsError
from shared.migrations import migrate, pending, require_current
from shared.models import Run
from shared.settings import environment
from shared.states import CANCELLED, COMPLETED, RUNNING

FOLDER = Path(migrations.__file__).parent
OLD_AGENT = """
    INSERT INTO agent (id, name, description, kind, config, enabled, timeout_seconds, version,
      created_at, updated_at)
    VALUES ('echo', 'Echo', '', 'echo', '{}', :yes, 60, 1, :now, :now)
"""
OLD_RUN = """
    INSERT INTO run (id, trigger, queue, queued_at, available_at, dispatch_at, status, metadata,
      dispatches, attempt, uncounted, session_id, agent_id, kind, config, message, timeout_seconds,
      max_attempts, retry_backoff_seconds, priority)
    VALUES (:id, 'API', 'runs', :now, :now, :now, 'QUEUED', '{}', 1, 0, 0, :id, 'echo', 'echo',
      '{}', 'Go', 60, 3, 30, 5)
"""
ALL = [
    *("0001_initial", "0002_faults", "0003_batches", "0004_conversations", "0005_costs"),
    *("0006_budgets", "0007_preflight", "0008_lost_usage", "0009_unattended", "0010_batch_costs"),
]


@pytest.fixture(params=["sqlite", "postgres"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The url of a database in which there is nothing at all."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bare.db"
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    name = f"bare_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def bare(bare_url: str) -> Iterator[peewee.Database]:
    """A database in which there is nothing at all, with the models speaking to it."""
    connected = db.connect(bare_url)
    yield connected
    connected.close()
    if not db.is_sqlite():
        connected.close_all()
    db.proxy.obj = None


def test_the_migrated_schema_is_the_one_that_the_models_describe(bare):
    with bare.connection_context():
        bare.create_tables(TABLES, safe=False)
        described = schema_of(bare)
        bare.drop_tables(TABLES)
    migrate(bare)

    with bare.connection_context():
        migrated = schema_of(bare)

    assert migrated.keys() == described.keys() == {table._meta.table_name for table in TABLES}
    for table in described:
        assert migrated[table] == described[table]


def test_a_comparison_of_schemas_sees_what_it_should(bare):
    migrate(bare)
    changes = (
        "DROP INDEX schedule_due",
        "CREATE INDEX schedule_due ON schedule (next_run_at)",
        "CREATE UNIQUE INDEX one_name ON agent (name)",
        "ALTER TABLE worker ADD COLUMN mood TEXT",
    )

    with bare.connection_context():
        seen = [schema_of(bare)]
        for change in changes:
            bare.execute_sql(change)
            seen.append(schema_of(bare))

    assert all(before != after for before, after in pairwise(seen))


def test_migrating_again_changes_nothing(bare):
    first = migrate(bare)

    second = migrate(bare)

    assert first == ALL
    assert second == []


def test_what_has_not_been_applied_is_pending(bare):
    before = pending(bare)
    migrate(bare)

    assert before == ALL
    assert pending(bare) == []


def test_a_process_refuses_a_database_that_lacks_migrations(bare):
    with pytest.raises(SettingsError, match=r"0001_initial.*agent-manager migrate"):
        require_current(bare)

    migrate(bare)

    require_current(bare)


@pytest.mark.parametrize("bare_url", ["postgres"], indirect=True)
def test_a_migration_does_not_have_everybody_wait_for_somebody_at_work(bare, bare_url, caplog):
    with bare.atomic():
        Runner(bare, directory=str(FOLDER)).up("0001_initial")
    with psycopg.connect(bare_url) as somebody, ThreadPoolExecutor() as threads:
        somebody.execute("SELECT 1 FROM schedule")
        migrating = threads.submit(migrate, bare)
        wait_until(lambda: "the tables are in use" in caplog.text)
        with psycopg.connect(bare_url) as another:
            another.execute("SELECT 1 FROM schedule")
        somebody.commit()

        assert migrating.result(20) == ALL[1:]


def test_a_migration_that_fails_leaves_nothing_behind(bare):
    with bare.connection_context():
        # The last of its tables is there already.
        bare.execute_sql("CREATE TABLE audit_event (id INTEGER)")

    with pytest.raises(peewee.DatabaseError):
        migrate(bare)

    with bare.connection_context():
        assert bare.get_tables() == ["audit_event"]


def test_runs_of_before_there_were_budgets_end_as_they_did(bare):
    with bare.atomic():
        Runner(bare, directory=str(FOLDER)).up("0003_batches")
    with db.connection():
        db.execute(OLD_AGENT, {"now": stamp(NOON), "yes": True})
        for id in ("a" * 32, "b" * 32):
            db.execute(OLD_RUN, {"id": id, "now": stamp(NOON)})
    assert migrate(bare) == ALL[3:]

    with db.connection():
        make_budget("1", run_usd=Decimal("0.25"))
        runs.cancel(UUID("a" * 32), now=NOON)
        (claimed,) = runs.claim([UUID("b" * 32)], "worker-1", lease=LEASE, now=NOON)
        held = Lease(claimed.id, claimed.attempt)
        runs.finish({held: Outcome(status=COMPLETED, usage=Usage(cost_usd=Decimal(1)))}, now=NOON)

        assert [run.status for run in Run.select().order_by(Run.id)] == [CANCELLED, COMPLETED]
        assert BudgetPeriod.select().count() == 0


def test_what_items_that_go_on_have_cost_before_is_counted_once(bare):
    with bare.atomic():
        Runner(bare, directory=str(FOLDER)).up("0009_unattended")
    with db.connection():
        batch = make_batch(items=1)
        run = make_run(batch=batch, item_index=0, queue="local", leased_by="worker-1")
        runs.pause(held(run), [], wait=None, now=NOON, usage=Usage(cost_usd=Decimal("0.25")))
        assert BatchProgress.get().agent_micros == 0

    migrate(bare)

    with db.connection():
        assert BatchProgress.get().agent_micros == 250_000
        Run.update(status=RUNNING, leased_by="worker-1", lease_until=NOON + LEASE).execute()
        used = Usage(cost_usd=Decimal("0.5"))
        runs.finish({held(run): Outcome(status=COMPLETED, usage=used)}, now=NOON)
        assert BatchProgress.get().agent_micros == 750_000


def test_several_processes_may_migrate_at_once(bare_url):
    command = [sys.executable, "-P", "-c", "from cli.main import main; main(['migrate'])"]
    processes = [
        subprocess.Popen(
            command,
            env={**environment(), "DATABASE_URL": bare_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]

    said = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4
    assert (
        sorted(said)
        == ["".join(f"Applied {each}.\n" for each in ALL)] + ["The database is up to date.\n"] * 3
    )
