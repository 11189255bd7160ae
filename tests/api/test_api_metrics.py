"""/metrics: what Prometheus reads of a system, and who may read it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from factories import make_run, make_schedule
from flask.testing import FlaskClient
from peewee import Database
from prometheus_client.parser import text_string_to_metric_families
from serving import serving
from werkzeug.test import TestResponse

from shared import clock, processes, tokens
from shared.models import Tally
from shared.processes import Alive
from shared.settings import Settings
from shared.states import Role
from shared.tally import Count

SECOND = timedelta(seconds=1)


@pytest.fixture
def client(database: Database, settings: Settings) -> Iterator[FlaskClient]:
    with serving(settings) as client:
        yield client


def read(client: FlaskClient, **headers: str) -> TestResponse:
    """The metrics, as a viewer may read them."""
    _, token = tokens.create("prometheus", Role.VIEWER, now=clock.now())
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}", **headers})


def values(response: TestResponse) -> dict[str, float]:
    """Each metric → its value, as Prometheus' own parser reads it."""
    families = text_string_to_metric_families(response.text)
    return {
        "".join([sample.name, *(f" of {queue}" for queue in sample.labels.values())]): sample.value
        for family in families
        for sample in family.samples
    }


def test_an_idle_system_shows_zeros_and_no_tick(client: FlaskClient) -> None:
    response = read(client)

    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=0.0.4")
    assert values(response) == {
        "agent_manager_runs_queued": 0,
        "agent_manager_runs_running": 0,
        "agent_manager_oldest_queued_run_age_seconds": 0,
        "agent_manager_oldest_lease_overdue_seconds": 0,
        "agent_manager_schedules_enabled": 0,
        "agent_manager_schedules_set_aside": 0,
        "agent_manager_oldest_due_schedule_age_seconds": 0,
        "agent_manager_workers": 0,
        "agent_manager_worker_threads": 0,
        "agent_manager_worker_threads_alive": 0,
        "agent_manager_worker_consumers_alive": 0,
        **{
            f"agent_manager_queue_{what} of {queue}": 0
            for what in ("depth", "oldest_age_seconds", "running", "workers", "wanted_workers")
            for queue in ("runs", "local")
        },
        **{f"agent_manager_{count}_total": 0 for count in Count},
    }


def test_a_busy_system_shows_what_it_does(client: FlaskClient) -> None:
    now = clock.now()
    make_schedule(next_run_at=now - 30 * SECOND)
    make_schedule(next_run_at=None, error="No such zone.")
    make_run(available_at=now - 20 * SECOND)
    make_run(available_at=now + 20 * SECOND)
    make_run(leased_by="w", lease_until=now - 10 * SECOND)
    processes.scheduler_started("s", now=now)
    processes.scheduler_ticked("s", took=SECOND / 4, lag=SECOND * 0.7, now=now - 40 * SECOND)
    processes.worker_started("w", threads=8, queues=["runs"], until=now + SECOND, now=now)
    alive = Alive(threads=3, consumers=1)
    processes.worker_seen("w", alive=alive, until=now + SECOND, now=now)
    Tally.create(process_id="w", counts={"lost_leases": 2}, latest={}, updated_at=now)

    shown = values(read(client))

    assert shown["agent_manager_runs_queued"] == 2
    assert shown["agent_manager_runs_running"] == 1
    assert shown["agent_manager_oldest_queued_run_age_seconds"] == 20
    assert shown["agent_manager_oldest_lease_overdue_seconds"] == 10
    assert shown["agent_manager_schedules_enabled"] == 2
    assert shown["agent_manager_schedules_set_aside"] == 1
    assert shown["agent_manager_oldest_due_schedule_age_seconds"] == 30
    assert shown["agent_manager_last_tick_age_seconds"] == 40
    assert shown["agent_manager_last_tick_duration_seconds"] == 0.25
    assert shown["agent_manager_last_tick_lag_seconds"] == 0.7
    assert shown["agent_manager_workers"] == 1
    assert shown["agent_manager_worker_threads"] == 8
    assert shown["agent_manager_worker_threads_alive"] == 3
    assert shown["agent_manager_worker_consumers_alive"] == 1
    assert shown["agent_manager_lost_leases_total"] == 2
    assert shown["agent_manager_resends_total"] == 0


def test_what_is_yet_to_come_is_not_overdue(client: FlaskClient) -> None:
    make_schedule(next_run_at=clock.now() + SECOND)
    make_run(leased_by="w", lease_until=clock.now() + SECOND)

    shown = values(read(client))

    assert shown["agent_manager_oldest_due_schedule_age_seconds"] == 0
    assert shown["agent_manager_oldest_lease_overdue_seconds"] == 0


def test_each_metric_says_what_it_means(client: FlaskClient) -> None:
    families = list(text_string_to_metric_families(read(client).text))

    assert all(family.documentation.endswith(".") for family in families)
    assert {family.name for family in families if family.type == "counter"} == {
        f"agent_manager_{count}" for count in Count
    }
    assert {family.type for family in families} == {"gauge", "counter"}


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=x.y", "🙂", "text/plain"]
)
def test_whatever_is_accepted_the_text_format_is_answered(client: FlaskClient, accept: str) -> None:
    response = read(client, Accept=accept.encode().decode("latin-1"))

    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")


def test_metrics_take_a_token(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 401


def test_a_database_that_is_away_is_no_fault_of_ours(valkey: str) -> None:
    away = Settings(
        database_url="postgresql://127.0.0.1:1/it", redis_url=valkey, admin_token="a" * 20
    )

    with serving(away) as client:
        response = client.get("/metrics", headers={"Authorization": f"Bearer {'a' * 20}"})

    assert response.status_code == 503
    assert "127.0.0.1" not in response.text
