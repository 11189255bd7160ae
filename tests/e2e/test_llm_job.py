"""What people schedule agents for: a model with tools, its cost, its budget, and who is asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from fake_models import FakeModels, Said, text_of
from servers import Mcp
from waiting import wait_until
from watching import connect_to, next_event

from shared import clock, db
from shared.conversations import unpacked
from shared.models import RunState

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# Of the 120 tokens that each answer takes.
PRICE = {"inputPerMillion": 1000, "outputPerMillion": 1000, "cacheReadPerMillion": 1000}
COST = 0.12


def works(models, body):
    """Asks both of its tools, then thinks until it is released, and says what they answered."""
    heard = [text_of(each) for each in body["messages"] if each["role"] == "tool"]
    if len(heard) < 2:
        call = [("weather", {"city": "Paris"}), ("tester_add", {"a": 2, "b": 3})][len(heard)]
        return Said(pieces=("Let me see. ",), calls=(call,))
    models.waiting.release()
    models.released.wait(60)
    return Said(pieces=("It is ", *heard))


@pytest.fixture
def models():
    with FakeModels() as models:
        models.behaviours["works"] = works
        yield models


@pytest.fixture
def weather() -> Iterator[SimpleNamespace]:
    """A service that knows the weather, and how often it was asked."""
    service = SimpleNamespace(asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            service.asked.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"Sunny")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        tool = {"name": "weather", "description": "Says how it is.", "parameters": CITY}
        service.tool = {**tool, "url": f"http://127.0.0.1:{server.server_port}/"}
        yield service
        server.shutdown()
        thread.join()


@pytest.fixture
def mcp():
    with Mcp() as server:
        yield {"name": "tester", "url": server.url}


@pytest.fixture
def running(system):
    """The system, with an API and a scheduler that run."""
    system.environ["AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES"] = "true"
    system.start("web")
    system.start("scheduler")
    return system


@pytest.fixture
def make_agent(running, models, weather, mcp):
    """Makes the agent `reporter`; what is given changes its MCP server."""

    def make_agent(**changes):
        config = {
            "model": "openai-chat:works",
            "baseUrl": models.url,
            "price": PRICE,
            "tools": [weather.tool],
            "mcpServers": [{**mcp, **changes}],
        }
        agent = {"id": "reporter", "name": "Reporter", "kind": "llm", "config": config}
        status, made = running.call("POST", "/api/v1/agents", agent)
        assert status == 201, made

    return make_agent


def fire(system):
    """The run of a new schedule that fires in a moment."""
    soon = (clock.now() + timedelta(seconds=2)).isoformat()
    orders = {"name": "Report", "agentId": "reporter", "message": "How is it?", "runAt": soon}
    status, schedule = system.call("POST", "/api/v1/schedules", orders)
    assert status == 201, schedule
    path = f"/api/v1/schedules/{schedule['id']}/runs"
    (run,) = wait_until(lambda: system.call("GET", path)[1]["content"], "the run")
    return run


def start(system):
    """The id of a run without a schedule."""
    path = "/api/v1/agents/reporter/runs/background"
    status, made = system.call("POST", path, {"message": "How is it?"})
    assert status == 202, made
    return made["runId"]


def thinks(models):
    """Wait until the model thinks."""
    assert models.waiting.acquire(timeout=120)


def events_of(system, run_id):
    return system.call("GET", f"/api/v1/runs/{run_id}/events?size=200")[1]["content"]


def test_a_schedule_runs_a_model_with_tools_within_its_budget(running, make_agent, models):
    running.start("worker")
    make_agent()
    budget = {"scope": "AGENT", "agentId": "reporter", "period": "DAY", "limitUsd": 5 * COST}
    assert running.call("POST", "/api/v1/budgets", budget)[0] == 201

    run_id = fire(running)["runId"]

    running.wait_for_status(run_id, "RUNNING", timeout=120)
    # What happens is told while it happens.
    stream, told = {"Accept": "text/event-stream"}, []
    with closing(connect_to(running.port, f"/runs/{run_id}/events", stream)) as connection:
        live = connection.getresponse()
        while len([each for each in told if each.name == "tool_result"]) < 2:
            told.append(next_event(live))
        thinks(models)
        assert running.run(run_id)["status"] == "RUNNING"
        models.released.set()
        while told[-1].name != "ended":
            told.append(next_event(live))
    results = [each.data["data"] for each in told if each.name == "tool_result"]
    assert [(each["tool"], each["content"]) for each in results] == [
        ("weather", "Sunny"),
        ("tester_add", "5"),
    ]
    # So is what it cost.
    run = told[-1].data
    assert (run["status"], run["content"], run["model"]) == ("COMPLETED", "It is Sunny5", "works")
    assert run["metrics"]["costUsd"] == pytest.approx(3 * COST)
    costs = running.call("GET", "/api/v1/costs?groupBy=agent")[1]
    assert [(each["agentId"], each["costUsd"]) for each in costs["content"]] == [
        ("reporter", pytest.approx(3 * COST))
    ]
    # There is no room for another one.
    skipped = fire(running)
    assert (skipped["status"], skipped["error"]["code"]) == ("SKIPPED", "BUDGET_EXCEEDED")
    assert len(models.asked) == 3


def test_a_run_waits_for_a_person_and_goes_on_elsewhere(running, make_agent, models, weather):
    first = running.start("worker")
    make_agent(approval=["add"])
    models.released.set()

    run_id = fire(running)["runId"]
    paused = running.wait_for_status(run_id, "PAUSED", timeout=120)
    (ask,) = paused["asks"]
    assert (ask["tool"], ask["arguments"]) == ("tester_add", {"a": 2, "b": 3})
    running.kill(first)
    running.start("worker")
    assert running.call("POST", f"/api/v1/runs/{run_id}/continue", {"approved": True})[0] == 200

    run = running.wait_for_status(run_id, "COMPLETED", timeout=120)
    assert run["content"] == "It is Sunny5"
    assert len(weather.asked) == 1
    assert len(models.asked) == 3
    assert run["metrics"]["costUsd"] == pytest.approx(3 * COST)
    attempts = {each["attempt"] for each in events_of(running, run_id)}
    assert len(attempts) == 2


def test_a_run_whose_worker_is_killed_goes_on_where_it_was(running, make_agent, models, weather):
    first = running.start("worker")
    make_agent()
    run_id = start(running)
    thinks(models)
    killed = running.run(run_id)

    def kept():
        with db.connection():
            state = RunState.get_or_none(RunState.run == run_id)
            return state is not None and "tester_add" in unpacked(state.state)

    wait_until(kept, "what was said to be kept")
    wait_until(
        lambda: len([e for e in events_of(running, run_id) if e["type"] == "tool_result"]) == 2,
        "the results to be told",
    )
    running.kill(first)
    running.start("worker")
    thinks(models)
    models.released.set()

    run = running.wait_for_status(run_id, "COMPLETED", timeout=120)
    assert (run["content"], run["attempt"]) == ("It is Sunny5", 2)
    assert run["workerId"] != killed["workerId"]
    # Nothing was asked twice but what had not been answered.
    assert len(weather.asked) == 1
    assert len(models.asked) == 4


def test_a_cancel_reaches_a_call_in_flight(running, make_agent, models):
    running.start("worker")
    make_agent()
    run_id = start(running)
    thinks(models)

    assert running.call("POST", f"/api/v1/runs/{run_id}/cancel")[0] == 200

    running.wait_for_status(run_id, "CANCELLED", timeout=3)
