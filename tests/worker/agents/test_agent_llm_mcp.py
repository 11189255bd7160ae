"""The tools of MCP servers, as models of the kind `llm` use them: over HTTP, and as programs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from fake_models import last, offered, text_of
from marshmallow import ValidationError
from servers import Mcp
from waiting import wait_until

from shared.states import ErrorCode
from worker.agents.llm import mcp
from worker.agents.llm.agent import LlmAgent
from worker.agents.placeholders import Redactor
from worker.agents.protocol import AgentError, Answer, Pause, Stopped
from worker.agents.stop import StopReason

CANARY = 'can"ary-of\\the-mine'
SECRETS = {"secrets": {"MINE": CANARY}}


@pytest.fixture(scope="module")
def over_http():
    """A server that is asked over HTTP, as an agent is told of it."""
    with Mcp() as server:
        yield {"name": "tester", "url": server.url}


@pytest.fixture(scope="module")
def as_program():
    """A server that the worker starts, as an agent is told of it."""
    return {"name": "tester", "argv": list(Mcp.program)}


@pytest.fixture(params=["over_http", "as_program"])
def server(request):
    """A server of each sort."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def use(ask):
    """Has the model use a tool of a server with arguments; *context* as `ask` takes it."""

    def use(server, tool, context=None, **arguments):
        call = json.dumps([f"tester_{tool}", arguments])
        return ask("call", call, mcpServers=[server], context=context)

    return use


def said_to_the_model(models):
    return text_of(last(models.asked[-1]))


def test_the_tools_of_a_server_are_offered_by_its_name_and_theirs(ask, models, server):
    ask("echo", mcpServers=[server])

    tools = {each["function"]["name"]: each["function"] for each in models.asked[0]["tools"]}
    assert {"tester_add", "tester_echo", "tester_environment"} <= tools.keys()
    assert tools["tester_add"]["description"] == "Add two numbers."
    assert tools["tester_add"]["parameters"]["required"] == ["a", "b"]


def test_what_a_tool_answers_the_model_is_told(use, server, reports):
    assert use(server, "add", a=2, b=3).content == "It says: 5"

    (call,) = [data for type, data in reports if type == "tool_call"]
    (result,) = [data for type, data in reports if type == "tool_result"]
    assert (call["tool"], call["arguments"]) == ("tester_add", {"a": 2, "b": 3})
    assert (result["content"], result["outcome"]) == ("5", "success")


def test_a_call_is_counted(use, server, used):
    use(server, "echo", text="Hi")

    assert sum(each.tool_calls or 0 for each in used) == 1


def test_only_those_tools_are_offered_that_are_allowed(ask, models, server):
    ask("echo", mcpServers=[{**server, "tools": ["add", "no_such_tool"]}])

    assert offered(models.asked[0]) == ["tester_add"]


def test_a_tool_that_is_not_allowed_is_not_called(use, server):
    result = use({**server, "tools": ["echo"]}, "add", a=2, b=3)

    assert "5" not in result.content
    assert "Unknown tool name: 'tester_add'" in result.content


@pytest.mark.parametrize("server", ["ask", "look", "look_up"])
def test_no_tool_of_a_server_could_be_taken_for_another(make, server):
    tool = {"name": "look_up_words", "description": "Says.", "url": "https://words.example"}
    servers = [{"name": server, "url": "https://mcp.example"}]

    with pytest.raises(ValidationError, match=f"begins as the tools of {server} do"):
        make(LlmAgent, model="openai:gpt-5-mini", tools=[tool], mcpServers=servers)


def test_no_tool_of_a_server_could_be_taken_for_that_of_another_server(make):
    servers = [{"name": name, "url": "https://mcp.example"} for name in ("look", "look_up")]

    with pytest.raises(ValidationError, match="look_up_ begins as the tools of look do"):
        make(LlmAgent, model="openai:gpt-5-mini", mcpServers=servers)


# Approval.


@pytest.mark.parametrize("approval", ["add", "*"])
def test_a_tool_that_takes_approval_waits_for_it(ask, use, over_http, kept, approval):
    guarded = {**over_http, "approval": [approval]}

    pause = use(guarded, "add", a=2, b=3)

    assert isinstance(pause, Pause)
    (asked,) = pause.asks
    assert (asked.tool, asked.arguments) == ("tester_add", {"a": 2, "b": 3})
    approved = {"kept": kept[-1], "answers": {asked.id: Answer(approved=True)}}
    assert use(guarded, "add", approved).content == "It says: 5"
    denied = {"kept": kept[-3], "answers": {asked.id: Answer(approved=False, says="Too much.")}}
    assert ask("call", mcpServers=[guarded], context=denied).content == "It says: Too much."


def test_the_other_tools_do_not_wait(use, over_http):
    guarded = {**over_http, "approval": ["add"]}

    assert use(guarded, "echo", text="Hi").content == "It says: Hi"


# Secrets.


def test_its_headers_carry_secrets_that_the_model_never_sees(use, over_http, models):
    server = {**over_http, "headers": {"X-Key": "${secret:MINE}", "X-Plain": "plain"}}

    use(server, "headers", {"secrets": {"MINE": "canary-of-the-mine"}})

    answer = said_to_the_model(models)
    assert "plain" in answer
    assert "***" in answer
    assert "canary" not in answer


def test_its_environment_carries_secrets_that_the_model_never_sees(use, as_program, models):
    use({**as_program, "env": {"KEY": "${secret:MINE}"}}, "environment", SECRETS)

    answer = json.loads(said_to_the_model(models))
    assert answer["KEY"] == "***"


def test_a_secret_in_what_a_server_offers_the_model_never_sees(ask, as_program, models):
    server = {**as_program, "env": {"KEY": "${secret:MINE}"}}

    ask("echo", mcpServers=[server], context={"secrets": {"MINE": "canary-of-the-mine"}})

    assert "canary" not in json.dumps(models.asked[0])
    tools = {each["function"]["name"]: each["function"] for each in models.asked[0]["tools"]}
    gossip = tools["tester_gossip"]
    assert gossip["description"] == "Say what *** is good for."
    assert gossip["parameters"]["properties"]["about"]["description"] == "***, or another."
    assert not [name for name in tools if name.startswith("tester_tell_of")]


@pytest.mark.parametrize("tool", ["echo", "fail"])
@pytest.mark.parametrize("text", [CANARY, json.dumps({"key": CANARY}), f"It is {CANARY}!"])
def test_a_secret_that_a_tool_shows_the_model_never_sees(use, server, models, kept, tool, text):
    use(server, tool, SECRETS, text=text)

    answer = said_to_the_model(models)
    assert "***" in answer
    assert "ary-of" not in answer


def test_a_program_is_given_the_allowed_environment_and_no_more(
    use, as_program, models, monkeypatch
):
    for name in ("LOGNAME", "SHELL", "TERM", "USER", "DATABASE_URL"):
        monkeypatch.setenv(name, "of-the-worker")
    given = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    use({**as_program, "env": {"TEAM": "sales"}}, "environment", {"environment": given})

    answer = json.loads(said_to_the_model(models))
    assert answer.items() >= {**given, "TEAM": "sales"}.items()
    assert {name for name in answer if not name.startswith("AGENT_")} - {"LC_CTYPE"} == {
        *given,
        "TEAM",
    }
    assert "of-the-worker" not in answer.values()


def test_its_calls_take_turns_with_the_others_of_their_run():
    turns, under_way, most = asyncio.Semaphore(3), 0, 0

    async def call(name, arguments):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return name

    async def many():
        calls = mcp._Calls("tester", Redactor([]), turns)
        return await asyncio.gather(*(calls(None, call, "add", {}) for _ in range(20)))

    assert asyncio.run(many()) == ["add"] * 20
    assert most == 3


# Failures.


def test_a_tool_that_fails_does_not_fail_the_run(use, server):
    assert "No such invoice" in use(server, "fail", text="No such invoice").content


@pytest.mark.parametrize(
    "server",
    [
        {"name": "tester", "url": "http://127.0.0.1:9/mcp"},
        {"name": "tester", "argv": ["/no/such/program"]},
        {"name": "tester", "argv": ["true"]},
        {"name": "tester", "argv": ["echo", "This is no MCP."]},
    ],
)
def test_a_server_that_is_not_there_fails_the_attempt(ask, models, server):
    with pytest.raises(AgentError, match="The MCP server tester cannot be used: ") as failed:
        ask("echo", mcpServers=[server])

    assert failed.value.retryable
    assert models.asked == []


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_answers_with_an_error_is_named(ask, service, status):
    service.will_answer(status, f"Wrong key: {CANARY}")
    server = {"name": "tester", "url": service.url}

    with pytest.raises(AgentError, match="The MCP server tester cannot be used: ") as failed:
        ask("echo", mcpServers=[server], context=SECRETS)

    assert failed.value.retryable


def test_a_program_that_dies_in_the_middle_fails_the_attempt(use, as_program):
    with pytest.raises(AgentError, match="The MCP server tester") as failed:
        use(as_program, "die")

    assert failed.value.retryable


def test_a_server_over_http_that_dies_in_the_middle_fails_the_attempt(use):
    with Mcp() as server, pytest.raises(AgentError, match="The MCP server tester") as failed:
        use({"name": "tester", "url": server.url}, "die")

    assert failed.value.retryable


def test_a_long_answer_is_cut(use, server, models):
    use(server, "flood", kilobytes=500)

    assert len(said_to_the_model(models)) < 70_000
    assert "bytes cut" in said_to_the_model(models)


def test_ten_megabytes_are_not_read_to_their_end(use, models, server):
    with pytest.raises(AgentError, match="The MCP server tester cannot be used: "):
        use(server, "flood", kilobytes=10_240)

    assert len(models.asked) == 1


def test_a_server_that_is_not_on_the_public_internet_is_not_asked(ask, models, monkeypatch):
    # The model itself may be reached: only the server leads inside.
    monkeypatch.setattr("worker.agents.llm.network.is_public", lambda at: str(at) == "127.0.0.1")
    server = {"name": "tester", "url": "http://[::1]:9/mcp"}

    with pytest.raises(AgentError, match="is not on the public internet") as failed:
        ask("echo", mcpServers=[server], context={"allow_private_addresses": False})

    assert failed.value.code is ErrorCode.REJECTED
    assert models.asked == []


# Stopping.


def test_a_stop_reaches_a_call_in_flight_and_leaves_nothing_behind(
    make, make_context, models, start, server, tmp_path
):
    context = make_context(allow_private_addresses=True)
    base = {"model": "openai-chat:call", "baseUrl": models.url}
    agent = make(LlmAgent, **base, mcpServers=[server])
    note = tmp_path / "pid"
    running = start(agent, json.dumps(["tester_hang", {"note": str(note)}]), context)
    pid = int(wait_until(lambda: note.exists() and note.read_text(), "the call", timeout=30))

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=3)
    if "argv" in server:
        # Killed it is; that somebody has noticed may take a moment.
        wait_until(lambda: not psutil.pid_exists(pid), "the program to be gone", timeout=1)


def test_a_program_dies_with_its_worker(models, tmp_path, as_program):
    note = tmp_path / "pid"
    config = {"model": "openai-chat:call", "baseUrl": models.url, "mcpServers": [as_program]}
    call = json.dumps(["tester_hang", {"note": str(note)}])
    worker = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("asking.py"), json.dumps(config), call],
        start_new_session=True,
    )
    # Its imports take seconds.
    pid = int(wait_until(lambda: note.exists() and note.read_text(), "the call", timeout=120))
    assert psutil.pid_exists(pid)

    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)

    wait_until(lambda: not psutil.pid_exists(pid), "the program to be gone")
