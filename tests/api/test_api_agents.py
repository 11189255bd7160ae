"""/agents: the registry, who may change it, and runs without a schedule."""

import pytest
from clients import DOCUMENTED
from factories import make_agent

from shared.models import Agent, AuditEvent, Run
from shared.states import ApprovalPolicy

ECHO = {"id": "parrot", "name": "Parrot", "kind": "echo", "config": {"delaySeconds": 2}}
COMMAND = {"id": "shell", "name": "Shell", "kind": "command", "config": {"argv": ["true"]}}


def test_an_agent_is_made_with_defaults(operator):
    response = operator.post("/agents", {"id": "parrot", "name": "Parrot", "kind": "echo"})

    assert response.status_code == 201
    assert response.headers["Location"] == "/api/v1/agents/parrot"
    assert response.headers["ETag"] == '"1"'
    assert response.json == {
        "id": "parrot",
        "name": "Parrot",
        "description": "",
        "kind": "echo",
        "config": {},
        "enabled": True,
        "timeoutSeconds": 600,
        "maxConcurrency": None,
        "check": None,
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:00Z",
        "version": 1,
    }


def test_an_agent_is_read_as_it_is_listed(operator):
    made = operator.post("/agents", ECHO).json

    assert operator.get("/agents/parrot").json == made
    assert operator.get("/agents").json["content"] == [made]


def test_a_second_agent_of_that_id_is_a_conflict(operator):
    operator.post("/agents", ECHO)

    assert operator.post("/agents", ECHO).status_code == 409


def test_a_put_keeps_what_it_does_not_name(operator):
    operator.post("/agents", ECHO | {"maxConcurrency": 2})

    response = operator.put("/agents/parrot", {"name": "Polly", "kind": "echo"})

    assert response.status_code == 200
    assert response.headers["ETag"] == '"2"'
    assert response.json["name"] == "Polly"
    assert response.json["config"] == {"delaySeconds": 2}
    assert response.json["maxConcurrency"] == 2


def test_what_was_read_can_be_put_back(operator):
    made = operator.post("/agents", ECHO).json

    assert operator.put("/agents/parrot", made).json == made


def test_an_agent_keeps_its_id(operator):
    operator.post("/agents", ECHO)

    response = operator.put("/agents/parrot", ECHO | {"id": "other"})

    assert response.status_code == 422
    assert "id" in response.json["errors"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_agent_is_not_found(operator, method):
    response = operator(method, "/agents/nobody", None if method == "GET" else ECHO)

    assert response.status_code in {404, 422}
    assert operator.put("/agents/nobody", {"name": "x", "kind": "echo"}).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nothing_is_changed_that_somebody_else_changed_first(operator, method):
    operator.post("/agents", ECHO)
    operator.put("/agents/parrot", ECHO | {"name": "Theirs"})
    mine = ECHO | {"name": "Mine"}

    assert operator(method, "/agents/parrot", mine, headers={"If-Match": '"1"'}).status_code == 412
    assert operator(method, "/agents/parrot", mine, headers={"If-Match": '"2"'}).status_code < 300


def test_an_agent_that_schedules_use_is_not_deleted(operator, schedule_id):
    refused = operator.delete("/agents/finance_agent")
    operator.delete(f"/schedules/{schedule_id}")
    deleted = operator.delete("/agents/finance_agent")

    assert refused.status_code == 409
    assert "1 schedule;" in refused.json["detail"]
    assert deleted.status_code == 204
    assert operator.get("/agents/finance_agent").status_code == 404
    assert operator.get("/agents").json["totalElements"] == 0


def test_a_deleted_agent_can_be_used_by_nothing(operator):
    operator.post("/agents", ECHO)
    operator.delete("/agents/parrot")

    made = operator.post("/schedules", DOCUMENTED | {"agentId": "parrot"})
    run = operator.post("/agents/parrot/runs/background", {"message": "Hello"})

    assert made.status_code == 422
    assert "agentId" in made.json["errors"]
    assert run.status_code == 404


def test_a_deleted_agent_can_be_made_anew(operator):
    operator.post("/agents", ECHO)
    operator.delete("/agents/parrot")

    response = operator.post("/agents", {"id": "parrot", "name": "Anew", "kind": "echo"})

    assert response.status_code == 201
    assert (response.json["name"], response.json["config"]) == ("Anew", {})
    assert response.json["enabled"] is True
    assert response.json["version"] > 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"id": "UPPER"}, "id"),
        ({"id": "-x"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "x\n"}, "id"),
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"id": 7}, "id"),
        ({"name": " "}, "name"),
        ({"kind": "unheard_of"}, "kind"),
        ({"kind": None}, "kind"),
        ({"config": []}, "config"),
        ({"config": None}, "config"),
        ({"config": {"delaySeconds": "long"}}, "config.delaySeconds"),
        ({"config": {"unknown": 1}}, "config.unknown"),
        ({"config": {"a\0": 1}}, "config"),
        ({"config": {"a": ["\ud800"]}}, "config.a.0"),
        ({"enabled": 0}, "enabled"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"timeoutSeconds": None}, "timeoutSeconds"),
        ({"maxConcurrency": 0}, "maxConcurrency"),
        ({"description": "x" * 10_001}, "description"),
        ({"createdAt": "2026-11-22T12:00:00Z"}, "createdAt"),
    ],
)
def test_a_wrong_value_is_refused_by_name(operator, wrong, field):
    response = operator.post("/agents", ECHO | wrong)

    assert response.status_code == 422
    assert field in response.json["errors"]
    assert Agent.select().count() == 0


def test_what_sends_a_secret_away_takes_an_admin(operator, admin):
    config = {"url": "https://example.com", "headers": {"X-Key": "${secret:CRM}"}}
    caller = {"id": "caller", "name": "Caller", "kind": "http", "config": config}

    assert operator.post("/agents", caller).status_code == 403
    assert admin.post("/agents", caller).status_code == 201
    assert operator.put("/agents/caller", {**caller, "name": "Mine"}).status_code == 403
    assert operator.delete("/agents/caller").status_code == 403
    harmless = {**caller, "id": "open", "config": {"url": "https://example.com"}}
    assert operator.post("/agents", harmless).status_code == 201
    assert operator.put("/agents/open", {**harmless, "config": config}).status_code == 403


def test_what_runs_code_of_its_own_takes_an_admin(operator, admin):
    assert operator.post("/agents", COMMAND).status_code == 403
    assert admin.post("/agents", COMMAND).status_code == 201
    operator.post("/agents", ECHO)

    refused = [
        operator.put("/agents/shell", COMMAND | {"config": {"argv": ["false"]}}),
        operator.put("/agents/shell", {**ECHO, "id": "shell"}),
        operator.put("/agents/parrot", {**COMMAND, "id": "parrot"}),
        operator.delete("/agents/shell"),
    ]

    assert [response.status_code for response in refused] == [403] * 4
    assert operator.get("/agents/shell").json["version"] == 1
    assert operator.get("/agents/parrot").json["kind"] == "echo"
    assert operator.post("/agents/shell/runs/background", {"message": "x"}).status_code == 202


def llm(id, *servers):
    """An agent with MCP servers."""
    config = {"model": "openai-chat:small", "baseUrl": "https://models.example.com/v1"}
    return {"id": id, "name": id, "kind": "llm", "config": {**config, "mcpServers": servers}}


def test_an_mcp_server_that_is_a_program_takes_an_admin(operator, admin):
    asked = {"name": "files", "url": "https://files.example.com/mcp"}
    started = {"name": "programs", "argv": ["serve-files"]}

    assert operator.post("/agents", llm("distant", asked)).status_code == 201
    assert operator.post("/agents", llm("near", asked, started)).status_code == 403
    assert admin.post("/agents", llm("near", asked, started)).status_code == 201
    assert operator.put("/agents/distant", llm("distant", started)).status_code == 403
    assert operator.put("/agents/near", llm("near", asked)).status_code == 403
    assert operator.delete("/agents/near").status_code == 403


@pytest.mark.parametrize("servers", [None, 5, "files", {"argv": ["x"]}, [None], [["argv"]]])
def test_servers_that_are_none_are_refused(operator, servers):
    agent = llm("near")
    agent["config"]["mcpServers"] = servers

    response = operator.post("/agents", agent)

    assert response.status_code == 422
    assert "config.mcpServers" in response.json["errors"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b", "c"]),
        ("enabled=false", ["b"]),
        ("kind=http", ["c"]),
        ("q=BETA", ["b"]),
        ("sort=name,desc", ["c", "b", "a"]),
        ("size=1&page=1", ["b"]),
    ],
)
def test_agents_are_filtered_sorted_and_paged(viewer, query, found):
    make_agent("a", name="Alpha")
    make_agent("b", name="Beta", enabled=False)
    make_agent("c", name="Gamma", kind="http")

    response = viewer.get(f"/agents?{query}")

    assert [agent["id"] for agent in response.json["content"]] == found


def test_a_run_without_a_schedule_is_queued(operator, finance_agent):
    body = {
        "message": "How was November?",
        "metadata": {"asked by": "Ada"},
        "sessionId": "6a1c6b1e-9df2-4b9f-8f43-7a3f4a3c2b10",
        "timeoutSeconds": 60,
        "maxAttempts": 1,
        "priority": 9,
    }

    response = operator.post("/agents/finance_agent/runs/background", body)

    run_id = response.json["runId"]
    assert response.status_code == 202
    assert response.json == {"runId": run_id, "status": "QUEUED"}
    assert response.headers["Location"] == f"/api/v1/runs/{run_id}"
    run = operator.get(f"/runs/{run_id}").json
    assert run.items() >= body.items()
    assert (run["trigger"], run["scheduleId"], run["agentId"]) == ("API", None, "finance_agent")


def test_what_becomes_of_a_run_that_asks_a_person_can_be_said(operator, finance_agent):
    body = {"message": "Hi", "approvalPolicy": "FAIL", "approvalWaitSeconds": 60}

    run_id = operator.post("/agents/finance_agent/runs/background", body).json["runId"]

    run = Run.get_by_id(run_id)
    assert (run.approval_policy, run.approval_wait_seconds) == (ApprovalPolicy.FAIL, 60)


def test_a_message_is_all_that_a_run_needs(operator, finance_agent):
    response = operator.post("/agents/finance_agent/runs/background", {"message": "Hello"})

    run = operator.get(f"/runs/{response.json['runId']}").json
    assert (run["timeoutSeconds"], run["maxAttempts"], run["priority"]) == (600, 3, 5)
    assert run["sessionId"] == run["runId"]
    assert run["metadata"] == {}


def test_the_same_key_makes_one_run(operator, finance_agent):
    def run():
        path = "/agents/finance_agent/runs/background"
        return operator.post(path, {"message": "Hello"}, headers={"Idempotency-Key": "once"})

    first, second = run(), run()

    assert (first.status_code, first.json) == (second.status_code, second.json)
    assert Run.select().count() == 1
    assert AuditEvent.select().count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"message": None}, "message"),
        ({"message": ""}, "message"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": {"b": "\0"}}}, "metadata.a.b"),
        ({"sessionId": "mine"}, "sessionId"),
        ({"sessionId": 7}, "sessionId"),
        ({"maxAttempts": 21}, "maxAttempts"),
        ({"priority": -1}, "priority"),
        ({"approvalPolicy": "ASK"}, "approvalPolicy"),
        ({"approvalWaitSeconds": 0}, "approvalWaitSeconds"),
        ({"schedule": 1}, "schedule"),
    ],
)
def test_a_wrong_run_is_refused_by_field(operator, finance_agent, wrong, field):
    response = operator.post("/agents/finance_agent/runs/background", {"message": "Hi"} | wrong)

    assert response.status_code == 422
    assert field in response.json["errors"]


def test_a_disabled_agent_runs_nothing(operator):
    make_agent("off", enabled=False)

    response = operator.post("/agents/off/runs/background", {"message": "Hello"})

    assert response.status_code == 409
