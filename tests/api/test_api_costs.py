"""/costs: what runs have used up, over HTTP."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import MINUTE, NOON, make_run, make_schedule

from shared.fields import written
from shared.ids import uuid7
from shared.states import COMPLETED

DAY = timedelta(days=1)


@pytest.fixture
def ended(app):
    """Makes a run that has ended, one day before the other."""
    made = []

    def make(cost="0.25", agent="finance_agent", **values):
        at = NOON - len(made) * DAY - MINUTE
        made.append(at)
        make_run(
            agent,
            id=uuid7(at),
            status=COMPLETED,
            started_at=at,
            finished_at=at,
            cost_usd=cost and Decimal(cost),
            **values,
        )

    return make


def test_costs_come_by_day_unless_told_otherwise(viewer, ended):
    ended(input_tokens=100, output_tokens=10, model="m")
    ended(None, input_tokens=1, model="m")

    response = viewer.get("/costs")

    nothing = {"outputTokens": None, "computeUsd": None}
    assert response.status_code == 200
    assert response.json == {
        "from": "2026-10-23T00:00:00Z",
        "to": "2026-11-22T12:00:00Z",
        "groupBy": "day",
        "timezone": "UTC",
        "total": {
            "runs": 2,
            "inputTokens": 101,
            "outputTokens": 10,
            "totalTokens": 111,
            "costUsd": 0.25,
            "unpricedRuns": 1,
            "computeUsd": None,
        },
        "content": [
            {"day": "2026-11-21", "runs": 1, "inputTokens": 1, "totalTokens": 1, **nothing}
            | {"costUsd": None, "unpricedRuns": 1},
            {"day": "2026-11-22", "runs": 1, "inputTokens": 100, "totalTokens": 110, **nothing}
            | {"outputTokens": 10, "costUsd": 0.25, "unpricedRuns": 0},
        ],
        "number": 0,
        "size": 200,
        "totalElements": 2,
        "totalPages": 1,
    }


def test_costs_come_by_schedule_agent_and_model(viewer, ended):
    schedule = make_schedule("finance_agent", name="Daily")
    ended("0.1", schedule=schedule, model="m")
    ended("0.2")

    def keys(group_by):
        page = viewer.get(f"/costs?groupBy={group_by}").json
        sums = page["total"].keys()
        return [
            ({name: each[name] for name in each.keys() - sums}, each["costUsd"])
            for each in page["content"]
        ]

    assert keys("schedule") == [
        ({"scheduleId": None, "name": None}, 0.2),
        ({"scheduleId": str(schedule.id), "name": "Daily"}, 0.1),
    ]
    # As decimals add up, and not as binary fractions do.
    assert keys("agent") == [({"agentId": "finance_agent"}, 0.3)]
    assert keys("model") == [({"model": None}, 0.2), ({"model": "m"}, 0.1)]


def test_costs_are_filtered_and_paged(viewer, ended):
    schedule = make_schedule("finance_agent")
    for number in range(3):
        ended(number, agent=f"agent-{number}", schedule=schedule)
    ended("100", agent="agent-1")

    asked = {"groupBy": "agent", "scheduleId": str(schedule.id), "size": 1, "page": 1}
    page = viewer.get("/costs", query_string=asked).json

    assert [each["agentId"] for each in page["content"]] == ["agent-1"]
    assert page["total"]["costUsd"] == 3
    assert (page["totalElements"], page["totalPages"]) == (3, 3)


def test_costs_are_of_the_range_that_is_asked_for(viewer, ended):
    for _ in range(5):
        ended()

    asked = {"from": written(NOON - 3 * DAY), "to": "2026-11-21T13:00:00+01:00"}
    answer = viewer.get("/costs", query_string={**asked, "timezone": "Asia/Tokyo"}).json

    assert (answer["from"], answer["to"]) == ("2026-11-19T12:00:00Z", "2026-11-21T12:00:00Z")
    assert [each["day"] for each in answer["content"]] == ["2026-11-20", "2026-11-21"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"groupBy": "batch"}, "groupBy"),
        ({"groupBy": "DAY"}, "groupBy"),
        ({"groupBy": ""}, "groupBy"),
        ({"groupBy": "schedule_id, (SELECT 1)"}, "groupBy"),
        ({"groupBy": ["day", "agent"]}, "groupBy"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-01"}, "from"),
        ({"from": "2026-11-22T12:00:00Z"}, "from"),
        ({"from": "2026-11-21T00:00:00Z", "to": "2026-11-20T00:00:00Z"}, "from"),
        ({"from": "2025-11-21T11:59:59Z"}, "from"),
        ({"from": "2000-01-01T00:00:00Z", "to": "2199-01-01T00:00:00Z"}, "from"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "x" * 65}, "timezone"),
        ({"agentId": "x" * 65}, "agentId"),
        ({"agentId": "a\0"}, "agentId"),
        ({"scheduleId": "nonsense"}, "scheduleId"),
        ({"size": 201}, "size"),
        ({"size": 0}, "size"),
        ({"page": -1}, "page"),
        ({"page": 1_000_000}, "page"),
        ({"sort": "costUsd"}, "sort"),
        ({"group_by": "day"}, "group_by"),
    ],
)
def test_what_cannot_be_added_up_is_refused_by_name(viewer, asked, field):
    response = viewer.get("/costs", query_string=asked)

    assert response.status_code == 422
    assert response.json["errors"].keys() == {field}


def test_a_range_that_is_too_long_says_so(viewer):
    response = viewer.get("/costs?from=2025-11-21T11:00:00Z")

    assert response.json["errors"] == {"from": ["Must be at most 366 days before `to`."]}


@pytest.mark.parametrize("until", ["2000-01-01T00:00:00Z", "2199-12-31T23:59:59Z"])
@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns"])
def test_the_ends_of_time_are_no_trouble(viewer, until, timezone):
    response = viewer.get("/costs", query_string={"to": until, "timezone": timezone})

    assert response.json["content"] == []


@pytest.mark.parametrize("group_by", ["schedule", "agent", "model", "day"])
def test_what_nothing_answers_to_has_cost_nothing_that_is_known(viewer, group_by):
    asked = {"groupBy": group_by, "agentId": "' OR 1=1 --", "scheduleId": str(uuid4())}
    answer = viewer.get("/costs", query_string=asked).json

    assert answer["content"] == []
    assert (answer["total"]["runs"], answer["total"]["costUsd"]) == (0, None)


def test_its_example_has_the_keys_that_an_answer_has(anyone, viewer):
    document = anyone.get("/openapi.json").json
    described = document["paths"]["/api/v1/costs"]["get"]["responses"]["200"]["content"]

    answer = viewer.get("/costs").json

    assert described["application/json"]["example"].keys() == answer.keys()
    assert document["components"]["schemas"]["Costs"]["properties"].keys() == answer.keys()
