"""In which order all is looked at, and where a look ends."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from factories import LEASE, MINUTE, NOON, make_worker
from peewee import Database

from shared import clock, db, health, reference, surroundings
from shared.findings import FAIL, OK, Finding
from shared.messages import publisher
from shared.models import Scheduler


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the database's clock show what the tests' own does."""
    monkeypatch.setattr(reference, "ahead", lambda clock: timedelta())


@pytest.mark.usefixtures("at_noon")
def test_a_system_that_ticks_and_has_workers_is_ready(database: Database, valkey: str) -> None:
    a_scheduler_that_ticked(NOON)
    make_worker()

    findings, pulse = health.readiness(publisher(valkey), clock_at(NOON))

    assert {each.name: each.status for each in findings} == {
        "redis": OK,
        "database": OK,
        "migrations": OK,
        "scheduler": OK,
        "schedules": OK,
        "queue": OK,
        "workers": OK,
    }
    assert pulse is not None
    assert pulse.last_tick_at == NOON


def test_a_host_whose_clock_is_off_goes_by_the_database(database: Database, valkey: str) -> None:
    def ours() -> datetime:
        return clock.now() + (timedelta() if db.is_sqlite() else timedelta(hours=1))

    now = reference.now(clock.now)
    a_scheduler_that_ticked(now)
    make_worker(alive_until=now + LEASE)

    findings, _ = health.readiness(publisher(valkey), ours)

    assert {each.status for each in findings} == {OK}


@pytest.mark.usefixtures("at_noon")
def test_a_system_whose_scheduler_is_gone_is_not_ready(database: Database, valkey: str) -> None:
    a_scheduler_that_ticked(NOON - 5 * MINUTE)
    make_worker()

    findings, _ = health.readiness(publisher(valkey), clock_at(NOON))

    assert [each.name for each in findings if each.status is FAIL] == ["scheduler"]


@pytest.mark.usefixtures("at_noon")
def test_a_system_without_workers_is_not_ready(database: Database, valkey: str) -> None:
    a_scheduler_that_ticked(NOON)

    findings, _ = health.readiness(publisher(valkey), clock_at(NOON))

    assert [each.name for each in findings if each.status is FAIL] == ["workers"]


def test_without_tables_nothing_is_asked_of_them(tmp_path: Path, valkey: str) -> None:
    (tmp_path / "empty.db").touch()
    database = db.connect(f"sqlite:///{tmp_path}/empty.db")

    findings = list(health.checkup(publisher(valkey), clock_at(NOON), lease=LEASE))
    readiness = health.readiness(publisher(valkey), clock_at(NOON))

    database.close()
    assert (findings[-1].name, findings[-1].status) == ("migrations", FAIL)
    assert "0001_initial" in findings[-1].says
    assert (readiness.findings[-1], readiness.pulse) == (findings[-1], None)


def test_a_database_that_is_away_is_asked_for_nothing_more(
    database: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "database", lambda: Finding("database", FAIL, "Away."))

    findings, pulse = health.readiness(publisher(valkey), clock_at(NOON))

    assert [each.name for each in findings] == ["redis", "database"]
    assert pulse is None


def test_a_check_up_looks_at_everything(database: Database, valkey: str) -> None:
    findings = list(health.checkup(publisher(valkey), clock_at(NOON), lease=LEASE))

    assert [each.name for each in findings] == [
        "time zones",
        "redis",
        "database",
        "migrations",
        "clock",
        "scheduler",
        "schedules",
        "queue",
        "workers",
        "leases",
        "runs",
        "batches",
        "set aside",
        "ever counted",
        "lately",
    ]


def test_what_is_polled_counts_nothing(
    database: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = db.execute
    monkeypatch.setattr(
        db, "execute", lambda sql, *values: (statements.append(sql), execute(sql, *values))[1]
    )

    health.readiness(publisher(valkey), clock_at(NOON))

    assert statements
    assert not [each for each in statements if "count(" in each.lower()]


def clock_at(instant: datetime) -> Callable[[], datetime]:
    return lambda: instant


def a_scheduler_that_ticked(at: datetime) -> None:
    Scheduler.create(
        id="s", host="h", pid=1, version="1", started_at=at, last_tick_at=at, last_tick_ms=3
    )
