"""What is made of the vitals, and in which order all is looked at."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from factories import MINUTE, NOON
from peewee import Database

from shared import db, health
from shared.findings import FAIL, OK, WARN, Finding, in_words
from shared.messages import publisher
from shared.models import Scheduler
from shared.vitals import Load, Pulse

SECOND = timedelta(seconds=1)


def pulse(last_tick_at: datetime | None = NOON, next_run_at: datetime | None = None) -> Pulse:
    return Pulse(last_tick_at=last_tick_at, last_tick_ms=1, next_run_at=next_run_at)


def load(
    waiting_since: datetime | None = None,
    lease_until: datetime | None = None,
    workers: int = 1,
    set_aside: int = 0,
) -> Load:
    return Load(
        schedules_enabled=1,
        schedules_set_aside=set_aside,
        queued=2,
        waiting_since=waiting_since,
        running=1,
        lease_until=lease_until,
        workers=workers,
        threads=8,
    )


@pytest.mark.parametrize(
    ("finding", "status", "says"),
    [
        (health.ticking(pulse(None), NOON), FAIL, "No scheduler has ever ticked."),
        (health.ticking(pulse(NOON - MINUTE), NOON), OK, "The last tick was 60 s ago."),
        (health.ticking(pulse(NOON - 3 * MINUTE), NOON), FAIL, "The last tick was 3 min ago."),
        (health.ticking(pulse(NOON + SECOND), NOON), OK, "The last tick was 0 s ago."),
        (health.punctual(pulse(), NOON), OK, "No schedule is overdue."),
        (health.punctual(pulse(next_run_at=NOON + SECOND), NOON), OK, "No schedule is overdue."),
        (health.punctual(pulse(next_run_at=NOON - SECOND), NOON), OK, "has waited 1 s for a tick"),
        (health.punctual(pulse(next_run_at=NOON - 3 * MINUTE), NOON), FAIL, "has waited 3 min"),
        (health.sound(load()), OK, "1 schedule enabled, none set aside."),
        (health.sound(load(set_aside=2)), WARN, "2 schedules set aside by a tick."),
        (health.manned(load(workers=0)), FAIL, "No worker was seen in the last 60 s."),
        (health.manned(load()), OK, "1 worker with 8 threads."),
        (health.flowing(load(), NOON), OK, "No run waits."),
        (health.flowing(load(NOON - SECOND), NOON), OK, "2 runs queued; the first has waited 1 s."),
        (health.flowing(load(NOON - 2 * MINUTE), NOON), WARN, "the first has waited 2 min."),
        (health.reaped(load(), NOON), OK, "1 run held by live workers."),
        (health.reaped(load(lease_until=NOON - SECOND), NOON), OK, "held by live workers."),
        (health.reaped(load(lease_until=NOON - 2 * MINUTE), NOON), FAIL, "ran out 2 min ago."),
    ],
)
def test_the_vitals_are_judged(finding: Finding, status: str, says: str) -> None:
    assert (finding.status, says in finding.says) == (status, True), finding
    assert bool(finding.cure) == (status is not OK)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(milliseconds=12.34), "0.0123 s"),
        (119 * SECOND, "119 s"),
        (120 * SECOND, "2 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=49), "2 days"),
        (-SECOND, "0 s"),
    ],
)
def test_a_span_is_told_in_its_largest_whole_unit(span: timedelta, words: str) -> None:
    assert in_words(span) == words


def test_a_system_that_ticks_is_ready(database: Database, valkey: str) -> None:
    a_scheduler_that_ticked(NOON)

    findings = list(health.readiness(publisher(valkey), clock_at(NOON)))

    assert {each.name: each.status for each in findings} == {
        "redis": OK,
        "database": OK,
        "migrations": OK,
        "scheduler": OK,
        "schedules": OK,
    }


def test_a_system_whose_scheduler_is_gone_is_not_ready(database: Database, valkey: str) -> None:
    a_scheduler_that_ticked(NOON - 5 * MINUTE)

    findings = list(health.readiness(publisher(valkey), clock_at(NOON)))

    assert [each.name for each in findings if each.status is FAIL] == ["scheduler"]


def test_without_tables_nothing_is_asked_of_them(tmp_path: Path, valkey: str) -> None:
    (tmp_path / "empty.db").touch()
    database = db.connect(f"sqlite:///{tmp_path}/empty.db")

    findings = list(health.checkup(publisher(valkey), clock_at(NOON)))

    database.close()
    assert findings[-1].name == "migrations"
    assert findings[-1].status is FAIL
    assert "0001_initial" in findings[-1].says


def test_a_check_up_looks_at_everything(database: Database, valkey: str) -> None:
    findings = list(health.checkup(publisher(valkey), clock_at(NOON)))

    assert [each.name for each in findings] == [
        "time zones",
        "redis",
        "database",
        "migrations",
        "clock",
        "scheduler",
        "schedules",
        "set aside",
        "workers",
        "queue",
        "leases",
    ]


def test_what_is_polled_reads_no_more_than_it_must(
    database: Database, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = db.execute
    monkeypatch.setattr(
        db, "execute", lambda sql, *values: (statements.append(sql), execute(sql, *values))[1]
    )

    list(health.readiness(publisher(valkey), clock_at(NOON)))

    assert not [each for each in statements if "count(" in each]


def clock_at(instant: datetime) -> Callable[[], datetime]:
    return lambda: instant


def a_scheduler_that_ticked(at: datetime) -> None:
    Scheduler.create(
        id="s", host="h", pid=1, version="1", started_at=at, last_tick_at=at, last_tick_ms=3
    )
