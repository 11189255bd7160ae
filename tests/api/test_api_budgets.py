"""/budgets: what runs may cost, who says so, and what requests hear of it."""

import pytest
from factories import NOON, make_agent, make_run, make_schedule
from openapi_spec_validator import validate

from shared.budgets.models import BudgetPeriod
from shared.models import AuditEvent, Run
from shared.states import COMPLETED

DAILY = {"scope": "INSTANCE", "period": "DAY", "limitUsd": 1}
OF_AGENT = {
    "scope": "AGENT",
    "agentId": "finance_agent",
    "period": "MONTH",
    "timezone": "Europe/Berlin",
    "limitUsd": 5.25,
    "runUsd": 0.6,
    "whenSpent": "PAUSE",
}


@pytest.fixture
def budget(admin, finance_agent):
    """A budget with room for one run of the agent."""
    return admin.post("/budgets", OF_AGENT | {"limitUsd": 1}).json


def run(client, **options):
    return client.post("/agents/finance_agent/runs/background", {"message": "Go", **options})


def test_one_is_made_with_defaults(admin):
    response = admin.post("/budgets", DAILY)

    assert response.status_code == 201
    made = response.json
    assert response.headers["Location"] == f"/api/v1/budgets/{made['id']}"
    assert response.headers["ETag"] == '"1"'
    assert made == {
        "id": made["id"],
        "scope": "INSTANCE",
        "agentId": None,
        "scheduleId": None,
        "period": "DAY",
        "timezone": "UTC",
        "limitUsd": 1,
        "runUsd": None,
        "whenSpent": "SKIP",
        "spentUsd": 0,
        "reservedUsd": 0,
        "remainingUsd": 1,
        "unpricedRuns": 0,
        "periodStartsAt": "2026-11-22T00:00:00Z",
        "periodEndsAt": "2026-11-23T00:00:00Z",
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:00Z",
        "version": 1,
    }


def test_all_that_is_said_of_one_is_kept_and_shown(admin, viewer, finance_agent):
    made = admin.post("/budgets", OF_AGENT).json

    assert made.items() >= OF_AGENT.items()
    assert (made["periodStartsAt"], made["periodEndsAt"]) == (
        "2026-10-31T23:00:00Z",
        "2026-11-30T23:00:00Z",
    )
    assert viewer.get(f"/budgets/{made['id']}").json == made
    assert viewer.get("/budgets").json["content"] == [made]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("scope=AGENT", ["AGENT"]),
        ("agentId=finance_agent", ["AGENT"]),
        ("period=DAY&sort=limitUsd", ["INSTANCE", "SCHEDULE"]),
        ("size=1&page=1&sort=limitUsd,desc", ["SCHEDULE"]),
    ],
)
def test_they_are_listed_by_what_they_are_of(admin, finance_agent, query, found):
    schedule = make_schedule("finance_agent")
    of_schedule = {"scope": "SCHEDULE", "scheduleId": str(schedule.id), "limitUsd": 2}
    for each in (DAILY, OF_AGENT, DAILY | of_schedule):
        assert admin.post("/budgets", each).status_code == 201

    page = admin.get(f"/budgets?{query}").json

    assert [each["scope"] for each in page["content"]] == found
    assert admin.get(f"/budgets?scheduleId={schedule.id}").json["totalElements"] == 1


def test_it_shows_what_its_period_has_come_to(operator, budget):
    run(operator)
    BudgetPeriod.update(spent_micros=250_000, unpriced_runs=2).execute()

    shown = operator.get(f"/budgets/{budget['id']}").json

    assert [shown[f"{name}Usd"] for name in ("spent", "reserved", "remaining")] == [0.25, 0.6, 0.15]
    assert shown["unpricedRuns"] == 2


def test_what_was_overspent_leaves_nothing(operator, budget):
    run(operator)
    BudgetPeriod.update(spent_micros=7_000_000).execute()

    assert operator.get("/budgets").json["content"][0]["remainingUsd"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scope", "TEAM"),
        ("scope", None),
        ("period", "WEEK"),
        ("period", ["DAY"]),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("timezone", ""),
        ("limitUsd", 0),
        ("limitUsd", -1),
        ("limitUsd", "1"),
        ("limitUsd", True),
        ("limitUsd", None),
        ("limitUsd", 1e300),
        ("limitUsd", 0.0000001),
        ("limitUsd", 10_000_001),
        ("runUsd", -0.01),
        ("runUsd", 1.01),
        ("runUsd", "0"),
        ("whenSpent", "ASK"),
        ("agentId", "finance_agent"),
        ("agentId", "x" * 65),
        ("scheduleId", "00000000-0000-0000-0000-000000000000"),
        ("scheduleId", "'; DROP TABLE budget; --"),
        ("spentUsd", 0),
        ("limit", 1),
    ],
)
def test_what_is_wrong_is_named(admin, field, value):
    response = admin.post("/budgets", DAILY | {field: value})

    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


@pytest.mark.parametrize("field", ["scope", "period", "limitUsd"])
def test_what_must_be_given_is_named(admin, field):
    response = admin.post("/budgets", {name: DAILY[name] for name in DAILY if name != field})

    assert response.json["errors"] == {field: ["Must be given."]}


@pytest.mark.parametrize(
    ("scope", "named", "field"),
    [
        ("AGENT", {}, "agentId"),
        ("AGENT", {"agentId": "nobody"}, "agentId"),
        ("SCHEDULE", {}, "scheduleId"),
        ("SCHEDULE", {"scheduleId": "00000000-0000-0000-0000-000000000000"}, "scheduleId"),
    ],
)
def test_what_it_is_of_must_be_there(admin, scope, named, field):
    response = admin.post("/budgets", DAILY | {"scope": scope} | named)

    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


def test_a_budget_of_a_deleted_schedule_is_refused(admin, finance_agent):
    schedule = make_schedule("finance_agent", enabled=False, deleted_at=NOON)

    response = admin.post("/budgets", DAILY | {"scope": "SCHEDULE", "scheduleId": str(schedule.id)})

    assert "no schedule" in response.json["errors"]["scheduleId"][0]


def test_a_second_one_of_a_kind_is_a_conflict(admin):
    admin.post("/budgets", DAILY)

    response = admin.post("/budgets", DAILY | {"timezone": "Asia/Tokyo"})

    assert response.status_code == 409
    assert response.json["detail"] == (
        "There is a budget of this instance for each day already; change that one."
    )


def test_a_change_names_what_changes(admin, budget):
    path = f"/budgets/{budget['id']}"

    assert admin.patch(path, {}).json == budget
    changed = admin.patch(path, {"limitUsd": 2, "runUsd": None}).json

    assert changed == budget | {"limitUsd": 2, "remainingUsd": 2, "runUsd": None, "version": 2}
    assert admin.put(path, changed).json == changed
    assert admin.put(path, OF_AGENT | {"whenSpent": "SKIP"}).json["whenSpent"] == "SKIP"


@pytest.mark.parametrize(
    ("field", "value"),
    [("scope", "INSTANCE"), ("agentId", "another"), ("period", "DAY"), ("timezone", "UTC")],
)
def test_whose_it_is_and_its_period_stay(admin, budget, field, value):
    response = admin.put(f"/budgets/{budget['id']}", OF_AGENT | {field: value})

    assert response.status_code == 422
    assert "keeps this" in response.json["errors"][field][0]


def test_a_limit_below_what_a_run_reserves_is_refused(admin, budget):
    response = admin.patch(f"/budgets/{budget['id']}", {"limitUsd": 0.5})

    assert list(response.json["errors"]) == ["runUsd"]


def test_an_edit_of_an_old_version_changes_nothing(admin, budget):
    path, old = f"/budgets/{budget['id']}", {"If-Match": '"7"'}

    assert admin.patch(path, {"limitUsd": 2}, headers=old).status_code == 412
    assert admin.delete(path, headers=old).status_code == 412
    assert admin.get(path).json == budget


def test_one_is_deleted(admin, budget):
    path = f"/budgets/{budget['id']}"

    assert admin.delete(path, headers={"If-Match": '"1"'}).status_code == 204

    assert admin.get(path).status_code == 404
    assert admin.patch(path, {}).status_code == 404
    assert admin.delete(path).status_code == 404


def test_only_admins_change_them_and_all_may_look(operator, budget):
    path = f"/budgets/{budget['id']}"

    assert operator.post("/budgets", DAILY).status_code == 403
    assert operator.patch(path, {"limitUsd": 99}).status_code == 403
    assert operator.put(path, OF_AGENT).status_code == 403
    assert operator.delete(path).status_code == 403
    assert operator.get(path).status_code == 200


def test_changes_are_on_record(admin, budget):
    admin.patch(f"/budgets/{budget['id']}", {"limitUsd": 2})
    admin.delete(f"/budgets/{budget['id']}")

    events = list(AuditEvent.select().order_by(AuditEvent.id))
    assert [event.action for event in events] == ["budget.create", "budget.update", "budget.delete"]
    assert events[1].changes == {"limitUsd": {"from": 1, "to": 2}}


def test_a_request_without_room_is_a_conflict_and_makes_nothing(admin, operator, budget):
    admin.patch(f"/budgets/{budget['id']}", {"whenSpent": "SKIP"})
    schedule = make_schedule("finance_agent")
    ended = make_run("finance_agent", status=COMPLETED, finished_at=NOON)
    first = run(operator)
    assert (first.status_code, first.json["status"]) == (202, "QUEUED")
    made, recorded = Run.select().count(), AuditEvent.select().count()

    refused = [
        run(operator),
        operator.post(f"/schedules/{schedule.id}/trigger"),
        operator.post(f"/runs/{ended.id}/retry"),
    ]

    assert [each.status_code for each in refused] == [409] * 3
    assert {each.json["detail"] for each in refused} == {
        "The budget of agent finance_agent, 1 USD a month, has 0.4 USD left until"
        f" 2026-11-30T23:00:00Z, and a run may cost 0.6 USD. (Budget {budget['id']})"
    }
    assert (Run.select().count(), AuditEvent.select().count()) == (made, recorded)


def test_a_request_waits_for_a_person_who_continues_or_cancels_it(operator, budget):
    run(operator)
    key = {"Idempotency-Key": "once"}

    waiting, other = run(operator, metadata={"n": 1}), run(operator)

    assert (waiting.status_code, waiting.json["status"]) == (202, "PAUSED")
    shown = operator.get(f"/runs/{waiting.json['runId']}").json
    assert (shown["status"], shown["error"]["code"]) == ("PAUSED", "BUDGET_EXCEEDED")
    again = operator.post(f"/runs/{waiting.json['runId']}/continue")
    assert (again.status_code, again.json["status"], again.json["error"]) == (200, "QUEUED", None)
    assert operator.get(f"/budgets/{budget['id']}").json["reservedUsd"] == 1.2
    assert operator.post(f"/runs/{other.json['runId']}/cancel").json["status"] == "CANCELLED"
    path, body = "/agents/finance_agent/runs/background", {"message": "Go"}
    assert [operator.post(path, body, headers=key).json["status"] for _ in "12"] == ["PAUSED"] * 2


def test_a_trigger_that_waits_says_so(operator, budget):
    schedule = make_schedule("finance_agent")
    path = f"/schedules/{schedule.id}/trigger"

    triggered, waits = operator.post(path).json, operator.post(path).json

    assert triggered["message"] == "Schedule execution triggered."
    assert "waits for money" in waits["message"]
    assert operator.get(f"/runs/{waits['runId']}").json["status"] == "PAUSED"


def test_an_agent_with_a_budget_stays(admin, budget):
    response = admin.delete("/agents/finance_agent")

    assert (response.status_code, "has a budget" in response.json["detail"]) == (409, True)
    admin.delete(f"/budgets/{budget['id']}")
    assert admin.delete("/agents/finance_agent").status_code == 204


def test_its_example_has_the_keys_of_an_answer(anyone, budget):
    document = anyone.get("/openapi.json").json
    validate(document)
    operations = document["paths"]["/api/v1/budgets/{budget_id}"]

    answers = operations["get"]["responses"]["200"]["content"]["application/json"]

    assert answers["example"].keys() == budget.keys()
    assert document["components"]["schemas"]["Budget"]["properties"].keys() == budget.keys()


def test_nobody_makes_a_run_of_another_s_money(operator, budget):
    make_agent("free")

    for _ in range(3):
        made = operator.post("/agents/free/runs/background", {"message": "Go"})
        assert made.json["status"] == "QUEUED"
