"""What the kind `llm` looks at before a run: its model, a price, its tools."""

import json
import socket
import sys
from contextlib import closing

import pytest
from fake_models import FakeModels
from mcp_shop import McpServer
from servers import Mcp

from shared import checks
from shared.findings import FAIL, OK, WARN
from worker.agents.llm import agent as llm
from worker.agents.llm import known_models, mcp, preflight
from worker.agents.llm.agent import LlmAgent
from worker.agents.protocol import Stopped
from worker.agents.stop import Stop, StopReason

PRICE = {"inputPerMillion": 2, "outputPerMillion": 10}
TOOL = {"name": "weather", "description": "Says how it is.", "url": "http://127.0.0.1:1/{city}"}
TOOL["parameters"] = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture
def models():
    with FakeModels() as models:
        yield models


@pytest.fixture
def shop():
    with McpServer("find", "refund") as server:
        yield server


@pytest.fixture
def check(make, make_context, models):
    """Checks an agent of the model `echo`; its findings by their names."""

    def check(model="openai-chat:echo", *, context=None, **config):
        config = {"baseUrl": models.url, **config}
        given = {"allow_private_addresses": True} | (context or {})
        found = make(LlmAgent, model=model, **config).check(make_context(**given))
        return {each.name: each for each in found}

    return check


def nowhere():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_model_that_the_provider_lists_is_well_and_is_asked_nothing(check, models, used):
    found = check(apiKey="${secret:MINE}", context={"secrets": {"MINE": "sk-of-mine"}})

    assert found["model"].status is OK
    assert models.looked_at == ["/v1/models"]
    assert models.keys == ["Bearer sk-of-mine"]
    assert (models.asked, used) == ([], [])


def test_a_model_that_the_provider_does_not_list_is_not(check):
    model = check("openai-chat:gpt-6")["model"]

    assert model.status is FAIL
    assert "knows no model gpt-6; it has echo, " in model.says


def test_a_model_may_be_called_without_its_tag(check, models):
    models.listing = (200, {"data": [{"id": "llama4:latest"}]})

    assert check("ollama:llama4")["model"].status is OK


@pytest.mark.parametrize(
    ("listing", "status", "says"),
    [
        ((404, {}), WARN, "cannot be told"),
        ((405, {}), WARN, "cannot be told"),
        ((429, {}), WARN, "cannot be told"),
        ((200, {"models": []}), WARN, "gave no list of models"),
        ((200, ["echo"]), WARN, "gave no list of models"),
        ((200, {"data": [None, {"id": 7}]}), FAIL, "knows no model echo; it has 7."),
        ((200, {"data": []}), FAIL, "knows no model echo."),
        ((401, {"error": "sk-wrong"}), FAIL, "does not take the key"),
        ((403, {}), FAIL, "does not take the key"),
        ((500, {}), FAIL, "answered 500"),
    ],
)
def test_what_the_list_of_models_says(check, models, listing, status, says):
    models.listing = listing

    model = check()["model"]

    assert model.status is status
    assert says in model.says
    assert "sk-wrong" not in model.says
    assert model.cure


def test_a_provider_that_cannot_be_reached_is_found(check):
    assert check(baseUrl=nowhere())["model"].status is FAIL


def test_a_provider_at_no_url_is_found(check):
    model = check(baseUrl="http://256.1.1.1/v1")["model"]

    assert (model.status, "256.1.1.1" in model.says) == (FAIL, True)


def test_a_key_that_cannot_be_sent_is_found_and_not_shown(check):
    secrets = {"secrets": {"MINE": "sk-\N{EURO SIGN}"}}

    model = check(apiKey="${secret:MINE}", context=secrets)["model"]

    assert (model.status, model.says) == (FAIL, "Its key is no plain ASCII text.")


def test_a_provider_inside_is_found_where_that_is_not_allowed(check, models):
    model = check(context={"allow_private_addresses": False})["model"]

    assert model.status is FAIL
    assert "not on the public internet" in model.says
    assert models.looked_at == []


def test_a_provider_that_never_answers_is_found_in_time(check, monkeypatch, misbehaving):
    monkeypatch.setattr(preflight, "SECONDS", 0.1)

    model = check(baseUrl=misbehaving(lambda connection: None))["model"]

    assert model.status is FAIL
    assert "no answer" in model.says


def test_a_check_ends_when_it_is_stopped(check, misbehaving):
    stop = Stop()
    url = misbehaving(lambda connection: stop.set(StopReason.CANCELLED))

    with pytest.raises(Stopped):
        check(baseUrl=url, context={"stop": stop})


def test_a_key_that_the_worker_does_not_have_is_named(check):
    model = check("openai:gpt-5-mini", baseUrl=None)["model"]

    assert model.status is FAIL
    assert "AGENT_MANAGER_SECRET_OPENAI_API_KEY" in model.says


@pytest.mark.parametrize(
    ("model", "path", "header", "key"),
    [
        # As the SDK does it.
        ("anthropic:claude", "/v1/models/claude", "Authorization", "Bearer sk-of-mine"),
        ("google:gemini/x", "/v1beta/models/gemini%2Fx", "x-goog-api-key", "sk-of-mine"),
    ],
)
@pytest.mark.parametrize(("status", "found"), [(200, OK), (404, WARN), (401, FAIL)])
def test_others_are_asked_for_the_one_model(
    check, service, model, path, header, key, status, found
):
    service.will_answer(status, "{}")
    base = service.url.removesuffix("/run")

    context = {"secrets": {"MINE": "sk-of-mine"}}
    result = check(model, baseUrl=base, apiKey="${secret:MINE}", context=context)

    assert result["model"].status is found
    assert [each.path for each in service.asked] == [path]
    assert service.asked[0].headers[header] == key


def test_a_key_that_google_does_not_take_is_found(check, service):
    refused = {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}
    service.will_answer(400, json.dumps({"error": refused}))

    model = check("google:gemini", baseUrl=service.url.removesuffix("/run"))["model"]

    assert (model.status, "does not take the key" in model.says) == (FAIL, True)


def test_the_provider_itself_knows_that_there_is_no_such_model(check, service, monkeypatch):
    service.will_answer(404, "{}")
    monkeypatch.setattr(known_models.models, "ANTHROPIC", service.url.removesuffix("/run"))

    context = {"secrets": {"ANTHROPIC_API_KEY": "sk-of-mine"}}
    found = check("anthropic:claude-0", baseUrl=None, context=context)["model"]

    assert (found.status, "knows no model claude-0" in found.says) == (FAIL, True)


# Prices.


def test_a_price_is_its_own_or_of_the_list_or_unknown(check):
    assert check(price=PRICE)["price"].status is OK
    assert check("openai-chat:gpt-4o-mini")["price"].status is OK
    unknown = check()["price"]
    assert (unknown.status, unknown.cure) == (WARN, "Give its `price`.")


def test_a_limit_of_cost_wants_a_price(check):
    assert check(limits={"costUsd": 1})["price"].status is FAIL
    assert check(limits={"costUsd": 1}, price=PRICE)["price"].status is OK


# Tools.


def test_an_mcp_server_that_has_the_tools_is_well_and_none_is_called(check, shop):
    server = {"name": "shop", "url": shop.url, "tools": ["find"], "approval": ["refund", "*"]}

    found = check(mcpServers=[server])["mcpServers.shop"]

    assert (found.status, found.says) == (OK, "The MCP server shop answers, and has 2 tools.")
    assert shop.called == []


@pytest.mark.parametrize("list", ["tools", "approval"])
def test_a_tool_that_an_mcp_server_does_not_have_is_named(check, shop, list):
    server = {"name": "shop", "url": shop.url, list: ["find", "refunds", "sell"]}

    found = check(mcpServers=[server])["mcpServers.shop"]

    assert found.status is FAIL
    assert found.says == "The MCP server shop has no tool refunds, sell."


@pytest.mark.parametrize("how", [{"url": nowhere()}, {"argv": [sys.executable, "-c", "exit(3)"]}])
def test_an_mcp_server_that_does_not_answer_is_found(check, how):
    found = check(mcpServers=[{"name": "shop", **how}])["mcpServers.shop"]

    assert found.status is FAIL
    assert "The MCP server shop cannot be used" in found.says


def test_a_program_may_take_as_long_to_begin_as_in_a_run(check, monkeypatch):
    monkeypatch.setattr(preflight, "SECONDS", 0.01)

    found = check(mcpServers=[{"name": "tester", "argv": list(Mcp.program)}])

    assert found["mcpServers.tester"].status is OK


def test_a_program_that_says_nothing_is_found_in_time(check, monkeypatch):
    monkeypatch.setattr(mcp, "INIT_SECONDS", 0.1)
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]

    found = check(mcpServers=[{"name": "silent", "argv": silent}])["mcpServers.silent"]

    assert found.status is FAIL
    assert "The MCP server silent cannot be used: " in found.says


def test_a_check_as_a_whole_has_the_time_for_each_of_its_looks():
    ending = 2
    assert mcp.INIT_SECONDS + preflight.SECONDS + ending < checks.SECONDS


def test_a_tool_leads_to_where_tools_may_go_and_is_not_asked(check, service):
    tool = {**TOOL, "url": f"{service.url}/{{city}}"}

    assert check(tools=[tool])["tools.weather"].status is OK
    assert service.asked == []
    inside = check(tools=[tool], context={"allow_private_addresses": False})["tools.weather"]
    assert (inside.status, "not on the public internet" in inside.says) == (FAIL, True)
    unknown = check(tools=[{**tool, "url": "http://no.such.name.invalid/"}])["tools.weather"]
    assert (unknown.status, "could not be resolved" in unknown.says) == (FAIL, True)


def test_a_secret_that_a_tool_lacks_is_found(check):
    tool = {**TOOL, "headers": {"Authorization": "${secret:WEATHER}"}}

    found = check(tools=[tool])["tools.weather"]

    assert (found.status, "no secret WEATHER" in found.says) == (FAIL, True)


def test_without_the_extra_that_is_what_is_found(check, monkeypatch):
    def lacks(name):
        raise ModuleNotFoundError("There is none.", name="pydantic_ai")

    monkeypatch.setattr(llm, "import_module", lacks)
    # What it gave once it would give again.
    monkeypatch.setattr(llm, "_import", llm._import.__wrapped__)

    found = check()

    assert list(found) == ["extra"]
    assert "agent-manager[llm]" in found["extra"].says
