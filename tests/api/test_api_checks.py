"""Checks of agents over HTTP: asked for, made by each save, and what schedules say of them."""

import pytest
from clients import DOCUMENTED
from factories import NOON, make_agent

from shared import checks, db
from shared.attempts import Outcome, failure
from shared.models import AuditEvent, Run
from shared.states import CANCELLED, FAILED, QUEUED, ErrorCode, Trigger

ECHO = {"id": "parrot", "name": "Parrot", "kind": "echo"}
CALLER = {"id": "caller", "name": "Caller", "kind": "http", "config": {"url": "https://a.example"}}


def made():
    with db.connection():
        return list(Run.select().order_by(Run.id))


def fails(run_id, says="It is gone."):
    with db.connection():
        outcome = Outcome(status=FAILED, error=failure(ErrorCode.TIMEOUT, says))
        checks.record(run_id, outcome, now=NOON)


def test_a_check_is_a_run_that_is_asked_for(operator):
    make_agent("finance_agent", enabled=False)

    response = operator.post("/agents/finance_agent/check")

    (run,) = made()
    assert response.status_code == 202
    assert response.json == {"runId": str(run.id), "status": "QUEUED"}
    assert response.headers["Location"] == f"/api/v1/runs/{run.id}"
    assert run.trigger is Trigger.CHECK
    assert operator.get(f"/runs/{run.id}").json["trigger"] == "CHECK"
    assert operator.get("/runs?trigger=CHECK").json["totalElements"] == 1


def test_a_check_is_on_record_and_once_for_a_key(operator):
    make_agent("finance_agent")
    key = {"Idempotency-Key": "once"}

    first, second = (operator.post("/agents/finance_agent/check", headers=key) for _ in range(2))

    assert first.json == second.json
    with db.connection():
        (event,) = AuditEvent.select()
    assert (event.action, event.resource_id) == ("agent.check", "finance_agent")


def test_who_may_only_read_checks_nothing(viewer):
    make_agent("finance_agent")

    assert viewer.post("/agents/finance_agent/check").status_code == 403


def test_an_agent_that_there_is_not_is_a_404(operator):
    assert operator.post("/agents/nobody/check").status_code == 404


def test_each_save_of_an_agent_has_it_checked(operator):
    created = operator.post("/agents", CALLER)
    (first,) = made()
    replaced = operator.put("/agents/caller", {**CALLER, "name": "New"})

    old, new = made()
    assert (created.status_code, replaced.status_code) == (201, 200)
    assert created.json["check"] is None
    assert (old.id, old.status, old.agent_version) == (first.id, CANCELLED, 1)
    assert (new.trigger, new.status, new.agent_version) == (Trigger.CHECK, QUEUED, 2)


def test_a_save_that_changes_nothing_checks_nothing(operator):
    operator.post("/agents", CALLER)
    operator.put("/agents/caller", CALLER)

    assert len(made()) == 1


def test_a_save_of_a_kind_that_needs_nothing_checks_nothing(operator):
    operator.post("/agents", ECHO)
    operator.put("/agents/parrot", {**ECHO, "name": "Polly"})

    assert made() == []


def test_what_a_check_found_is_shown_until_the_next_save(operator):
    operator.post("/agents", CALLER)
    fails(made()[0].id)

    agent = operator.get("/agents/caller").json

    assert agent["check"] == {
        "status": "FAILED",
        "checkedAt": "2026-11-22T12:00:00Z",
        "findings": [{"name": "check", "status": "FAILED", "message": "It is gone."}],
    }
    assert operator.get("/agents").json["content"] == [agent]
    assert operator.put("/agents/caller", agent | {"name": "New"}).json["check"] is None


def test_a_schedule_warns_before_it_is_due(operator):
    operator.post("/agents", CALLER)
    made_schedule = operator.post("/schedules", {**DOCUMENTED, "agentId": "caller"}).json
    fails(made()[0].id)

    schedule = operator.get(f"/schedules/{made_schedule['id']}").json

    assert made_schedule["warning"] is None
    assert schedule["warning"] == "Its agent failed its check: It is gone."
    assert operator.get("/schedules").json["content"] == [schedule]
    put_back = operator.put(f"/schedules/{schedule['id']}", schedule)
    assert (put_back.status_code, put_back.json["warning"]) == (200, schedule["warning"])


@pytest.mark.parametrize("message", ["Ünïcode “quotes” \\ 'and' \n lines", "x" * 4000])
def test_whatever_a_finding_says_is_shown_as_it_is(operator, message):
    operator.post("/agents", CALLER)
    operator.post("/schedules", {**DOCUMENTED, "agentId": "caller"})
    fails(made()[0].id, message)

    (finding,) = operator.get("/agents/caller").json["check"]["findings"]
    (schedule,) = operator.get("/schedules").json["content"]

    assert finding["message"] == message
    assert schedule["warning"] == f"Its agent failed its check: {message}"
