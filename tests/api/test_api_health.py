"""/healthz and /readyz: open to all, and telling nobody more than they need."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from factories import make_run, make_schedule, make_worker
from peewee import Database
from serving import serving

from shared import clock, processes
from shared.models import Tally
from shared.settings import Settings

AWAY = "redis://:hunter2@127.0.0.1:1/0"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_a_process_is_alive_even_when_all_else_is_away(tmp_path: Path) -> None:
    nothing = Settings(database_url=f"sqlite:///{tmp_path}/none.db", redis_url=AWAY)

    with serving(nothing) as client:
        response = client.get("/healthz")

    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_ticks_is_ready(database: Database, settings: Settings) -> None:
    a_scheduler_ticked(ago=timedelta())
    make_worker(heartbeat_at=clock.now())

    with serving(settings) as client:
        response = client.get("/readyz")

    assert response.status_code == 200, response.json
    assert response.json["status"] == "ready"
    assert {name: check["status"] for name, check in response.json["checks"].items()} == {
        "redis": "ok",
        "database": "ok",
        "migrations": "ok",
        "scheduler": "ok",
        "schedules": "ok",
        "queue": "ok",
        "workers": "ok",
    }


def test_the_vitals_are_told_in_figures(database: Database, settings: Settings) -> None:
    now = clock.now()
    a_scheduler_ticked(ago=timedelta(), took=SECOND / 4, lag=SECOND * 0.7)
    make_schedule(next_run_at=now - MINUTE)
    make_run(available_at=now - 2 * MINUTE)
    make_worker(threads=8, alive_until=now + MINUTE, threads_alive=3, consumers_alive=1)
    Tally.create(process_id="w", counts={"lost_leases": 2}, latest={}, updated_at=now)

    with serving(settings) as client:
        vitals = client.get("/readyz").json["vitals"]

    assert vitals["oldestDueScheduleAgeSeconds"] == 60
    assert vitals["oldestQueuedRunAgeSeconds"] == 120
    assert (vitals["lastTickDurationSeconds"], vitals["lastTickLagSeconds"]) == (0.25, 0.7)
    assert (vitals["workers"], vitals["workerThreads"]) == (1, 8)
    assert (vitals["workerThreadsAlive"], vitals["workerConsumersAlive"]) == (3, 1)
    assert vitals["counts"]["lostLeases"] == 2


def test_a_system_whose_ticks_ceased_is_not_ready(database: Database, settings: Settings) -> None:
    a_scheduler_ticked(ago=5 * MINUTE)
    make_schedule(next_run_at=clock.now() - 5 * MINUTE)

    with serving(settings) as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json["status"] == "not ready"
    assert response.json["checks"]["database"]["status"] == "ok"
    assert response.json["checks"]["workers"]["status"] == "fail"
    assert response.json["checks"]["scheduler"] == {
        "status": "fail",
        "says": "The last tick was 5 min ago.",
    }
    assert response.json["checks"]["schedules"]["status"] == "fail"


def test_what_is_away_is_told_without_its_address(database: Database, settings: Settings) -> None:
    with serving(replace(settings, redis_url=AWAY)) as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json["checks"]["redis"]["status"] == "fail"
    assert "127.0.0.1" not in response.text
    assert "hunter2" not in response.text


def test_a_database_that_is_away_is_not_ready_and_not_an_error(valkey: str) -> None:
    away = "postgresql://me:hunter2@127.0.0.1:1/it"

    with serving(Settings(database_url=away, redis_url=valkey)) as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json["checks"]["redis"]["status"] == "ok"
    assert response.json["checks"]["database"]["status"] == "fail"
    assert response.json["vitals"] is None
    assert "127.0.0.1" not in response.text
    assert "hunter2" not in response.text


def test_they_are_documented_as_open_to_all(database: Database, settings: Settings) -> None:
    with serving(settings) as client:
        document = client.get("/api/v1/openapi.json").json

    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/readyz"]["get"]["security"] == []


def a_scheduler_ticked(
    *, ago: timedelta, took: timedelta = SECOND, lag: timedelta = SECOND
) -> None:
    at = clock.now() - ago
    processes.scheduler_started("s", now=at)
    processes.scheduler_ticked("s", took=took, lag=lag, now=at)
