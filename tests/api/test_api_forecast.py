"""/schedules/forecast and /schedules/{id}/forecast: what a schedule will run and cost."""

from decimal import Decimal
from uuid import uuid4

import pytest
from clients import DOCUMENTED
from factories import NOON, make_run

from shared.models import AuditEvent, Schedule
from shared.states import COMPLETED

ORDERS = {"agentId": "finance_agent", "cronExpression": "0 8 * * *"}


@pytest.fixture
def measured(app):
    """Two runs that have cost a quarter of a dollar each."""
    for _ in range(2):
        make_run(
            "finance_agent",
            status=COMPLETED,
            started_at=NOON,
            finished_at=NOON,
            cost_usd=Decimal("0.25"),
        )


@pytest.mark.usefixtures("measured")
def test_a_schedule_is_forecast_before_it_is_made(viewer):
    response = viewer.post("/schedules/forecast", ORDERS | {"maxAttempts": 2})

    assert response.status_code == 200
    assert response.json == {
        "from": "2026-11-22T12:00:00Z",
        "firstRunAt": "2026-11-23T08:00:00Z",
        "runsPerDay": 1.0,
        "runsNextDay": 1,
        "runsNext30Days": 30,
        "costUsd": {
            "run": {"low": 0.25, "mean": 0.25, "high": 0.25, "worst": 0.5},
            "nextDay": {"low": 0.25, "mean": 0.25, "high": 0.25, "worst": 0.5},
            "next30Days": {"low": 7.5, "mean": 7.5, "high": 7.5, "worst": 15.0},
            "basedOn": 2,
            "note": None,
        },
    }
    assert (Schedule.select().count(), AuditEvent.select().count()) == (0, 0)


def test_a_forecast_of_what_nobody_knows_is_null_and_says_why(viewer, finance_agent):
    cost = viewer.post("/schedules/forecast", ORDERS).json["costUsd"]

    assert cost == {
        "run": None,
        "nextDay": None,
        "next30Days": None,
        "basedOn": 0,
        "note": "No run of agent finance_agent has been measured yet.",
    }


def test_a_single_run_is_forecast_as_well(viewer, finance_agent):
    orders = {"agentId": "finance_agent", "runAt": "2026-11-24T08:00:00Z"}

    answer = viewer.post("/schedules/forecast", orders).json

    assert (answer["runsNextDay"], answer["runsNext30Days"]) == (0, 1)


@pytest.mark.usefixtures("measured")
def test_a_schedule_that_there_is_has_the_forecast_of_its_orders(viewer, operator):
    schedule_id = operator.post("/schedules", {**DOCUMENTED, **ORDERS}).json["id"]

    response = viewer.get(f"/schedules/{schedule_id}/forecast")

    assert response.status_code == 200
    assert response.json == viewer.post("/schedules/forecast", ORDERS).json


def test_a_schedule_that_there_is_not_has_none(viewer):
    assert viewer.get(f"/schedules/{uuid4()}/forecast").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"agentId": "nobody"}, "agentId"),
        ({"agentId": None}, "agentId"),
        ({"agentId": "a\0"}, "agentId"),
        ({"cronExpression": "* * * *"}, "cronExpression"),
        ({"cronExpression": "0 0 31 2 *"}, "cronExpression"),
        ({"cronExpression": None}, "cronExpression"),
        ({"cronExpression": "1," * 20_000 + "1 * * * *"}, "cronExpression"),
        ({"runAt": "2027-01-01T00:00:00Z"}, "runAt"),
        ({"cronExpression": None, "runAt": "2026-11-22T12:00:00Z"}, "runAt"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"startAt": "2027-01-02T00:00:00Z", "endAt": "2027-01-02T00:00:00Z"}, "endAt"),
        ({"maxAttempts": 0}, "maxAttempts"),
        ({"maxAttempts": 21}, "maxAttempts"),
        ({"name": "Daily"}, "name"),
    ],
)
def test_a_forecast_names_what_is_wrong(viewer, finance_agent, wrong, field):
    response = viewer.post("/schedules/forecast", ORDERS | wrong)

    assert response.status_code == 422
    assert response.json["errors"].keys() == {field}


def test_the_agent_must_be_named(viewer):
    response = viewer.post("/schedules/forecast", {"cronExpression": "0 8 * * *"})

    assert response.json["errors"] == {"agentId": ["Must be given."]}


def test_its_example_has_the_keys_that_an_answer_has(anyone, viewer, schedule_id):
    document = anyone.get("/openapi.json").json
    paths, described = document["paths"], document["components"]["schemas"]["Forecast"]

    answer = viewer.post("/schedules/forecast", ORDERS).json

    assert described["properties"].keys() == answer.keys()
    for operation in (
        paths["/api/v1/schedules/forecast"]["post"],
        paths["/api/v1/schedules/{schedule_id}/forecast"]["get"],
    ):
        shown = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert shown.keys() == answer.keys()
        assert shown["costUsd"].keys() == answer["costUsd"].keys()
