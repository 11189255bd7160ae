"""A secret, sent down every path by which it could get out of a worker, is found nowhere."""

import json
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis
from fake_models import FakeModels, Refusal, Said, last
from servers import Mcp
from tables import TABLES
from waiting import wait_until
from watching import connect_to, next_event

from shared import db

# Where it is quoted it looks different, but never between its hyphens.
CANARY = 'c4nary-"of\\the-m1ne'
TRACES = ("c4nary", "m1ne")
KEY = "${secret:CANARY}"


@pytest.fixture
def models():
    """A model that shows its key in every way there is."""
    with FakeModels() as models:
        models.behaviours |= {
            "tells": tells,
            "asks": lambda models, body: Said(calls=(("ask", {"key": key_of(models)}),)),
            "mumbles": lambda models, body: Said(calls=(("ask", f'{{"key": {key_of(models)}'),)),
            "refuses": refuses(400),
            "breaks": refuses(500),
        }
        yield models


def key_of(models):
    return models.keys[-1].removeprefix("Bearer ")


def tells(models, body):
    """Shows its key in letters while it calls all tools in turn, which show what they have."""
    key, called = key_of(models), [each for each in body["messages"] if each["role"] == "tool"]
    calls = [
        ("ask", {"key": key, "again": json.dumps({"key": key})}),
        ("refuse", {"key": key}),
        ("distant_headers", {}),
        ("distant_echo", {"text": key}),
        ("distant_fail", {"text": json.dumps({"key": key})}),
        ("near_environment", {}),
        ("near_fail", {"text": key}),
    ]
    if len(called) < len(calls):
        return Said(pieces=("It is ", *key, ", "), calls=(calls[len(called)],))
    heard = json.dumps(last(body))
    return Said(pieces=("x" * 3990 + key + "!", *json.dumps({"key": key}), repr([key]), heard))


def refuses(status):
    def refuse(models, body):
        # Where a long text is cut, part of it may be left.
        raise Refusal(status, f"Wrong key: {key_of(models)} " + f"{key_of(models)}, " * 500)

    return refuse


@pytest.fixture
def service() -> Iterator[str]:
    """A service that shows the headers that it was asked with, as an error if told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(dict(self.headers)).encode() + str(self.headers).encode()
            self.send_response(int(self.path.strip("/")))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def distant():
    with Mcp() as server:
        yield {"name": "distant", "url": server.url, "headers": {"X-Key": KEY}}


SAYS = "import os, sys; key = os.environ['KEY']; print(key, repr(key)); sys.stderr.write(key * 99)"
SHOWS = """
import os

def returns(message):
    key = os.environ["KEY"]
    print(key)
    return {"content": f"It is {key}, {key!r}", "model": key, "usage": {}}

def raises(message):
    raise ValueError({"key": os.environ["KEY"]})
"""


@pytest.fixture
def agents(models, service, distant, tmp_path):
    """The agents, each of which shows the secret in ways of its own."""
    near = {"name": "near", "argv": list(Mcp.program), "env": {"KEY": KEY}}
    headers = {"X-Key": KEY}
    about = {"description": "Shows it.", "headers": headers}
    ask = {"name": "ask", "url": f"{service}/200", **about}
    refuse = {"name": "refuse", "url": f"{service}/500", **about}
    (tmp_path / "shows.py").write_text(SHOWS)

    def llm(model, **config):
        base = {"model": f"openai-chat:{model}", "baseUrl": models.url, "apiKey": KEY}
        return "llm", {**base, **config}

    def command(status):
        argv = [sys.executable, "-c", f"{SAYS}; sys.exit({status})"]
        return "command", {"argv": argv, "env": {"KEY": KEY}}

    def function(name):
        return "python", {
            "entry": f"shows:{name}",
            "path": str(tmp_path),
            "env": {"KEY": KEY},
        }

    return {
        "tells": llm("tells", tools=[ask, refuse], mcpServers=[distant, near]),
        "asks": llm("asks", tools=[{**ask, "approval": True}]),
        "mumbles": llm("mumbles", tools=[ask]),
        "refuses": llm("refuses"),
        "breaks": llm("breaks"),
        "wrong-server": llm("tells", mcpServers=[{**distant, "url": f"{service}/401"}]),
        "http": ("http", {"url": f"{service}/200", "headers": headers}),
        "http-refused": ("http", {"url": f"{service}/400", "headers": headers}),
        "http-broken": ("http", {"url": f"{service}/500", "headers": headers}),
        **{f"command-{status}": command(status) for status in (0, 1, 75)},
        **{f"python-{name}": function(name) for name in ("returns", "raises")},
    }


def found(what, where):
    """What is not to be found; a database's bytes are looked into as well."""
    if isinstance(what, memoryview | bytes):
        try:
            what = zlib.decompress(what)
        except zlib.error:
            what = bytes(what)
        what = what.decode(errors="replace")
    assert not any(trace in str(what) for trace in TRACES), f"{where}: {what}"


def watched(system, run_id):
    """All that is told to who watches the run until it pauses or ends."""
    wait_until(lambda: system.run(run_id)["status"] != "QUEUED", "the run to begin", timeout=120)
    stream, told = {"Accept": "text/event-stream"}, []
    with closing(connect_to(system.port, f"/runs/{run_id}/events", stream)) as connection:
        answer = connection.getresponse()
        while event := next_event(answer):
            told.append(event)
            if event.name == "status" and event.data["status"] == "PAUSED":
                break
    return told


def pages(system):
    """The answers of all routes that show what has happened."""
    lists = ("runs", "sessions", "audit", "agents", "schedules", "costs?groupBy=model")
    for path in lists:
        status, page = system.call("GET", f"/api/v1/{path}")
        assert status == 200, page
        yield path, page
        for each in page["content"] if path in ("runs", "sessions") else ():
            id = each["runId"] if path == "runs" else each["id"]
            for more in ("", "/events" if path == "runs" else "/messages"):
                yield f"{path}/{id}{more}", system.call("GET", f"/api/v1/{path}/{id}{more}")[1]


@pytest.fixture
def said(valkey):
    """All that is said to Redis."""
    commands = []
    with redis.from_url(valkey, socket_timeout=None) as client, client.monitor() as monitor:

        def listen():
            while (command := monitor.next_command()["command"]) != "ECHO over":
                commands.append(command)

        thread = threading.Thread(target=listen)
        thread.start()
        yield commands
        client.echo("over")
        thread.join()


def test_a_canary_is_found_nowhere(system, agents, models, said):
    for kind in ("web", "scheduler"):
        system.start(kind)
    of_the_worker = {
        "AGENT_MANAGER_SECRET_CANARY": CANARY,
        "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES": "true",
        "AGENT_MANAGER_LOG_LEVEL": "DEBUG",
    }
    system.start("worker", environ=of_the_worker)
    run_ids = {}
    for id, (kind, config) in agents.items():
        body = {"id": id, "name": id, "kind": kind, "config": config}
        status, answer = system.call("POST", "/api/v1/agents", body)
        assert status == 201, answer
        orders = {"name": id, "agentId": id, "message": "Hello", "cronExpression": "0 0 1 1 *"}
        tried = {"maxAttempts": 2, "retryBackoffSeconds": 0, "sessionPolicy": "SHARED"}
        status, schedule = system.call("POST", "/api/v1/schedules", {**orders, **tried})
        assert status == 201, schedule
        answer = system.call("POST", f"/api/v1/schedules/{schedule['id']}/trigger")[1]
        run_ids[id] = answer["runId"]

    told = {id: watched(system, run_id) for id, run_id in run_ids.items()}

    # It was sent, and what was shown was heard.
    assert f"Bearer {CANARY}" in models.keys
    statuses = {id: system.run(run_id)["status"] for id, run_id in run_ids.items()}
    well = {"tells", "http", "command-0", "python-returns"}
    assert {id for id, status in statuses.items() if status == "COMPLETED"} == well
    assert {id for id, status in statuses.items() if status == "PAUSED"} == {"asks"}
    assert {id for id, status in statuses.items() if status not in ("COMPLETED", "PAUSED")} == {
        id for id in agents if id not in {*well, "asks"}
    }
    results = [each for each in told["tells"] if each.name == "tool_result"]
    assert len(results) == 7
    assert all("***" in str(each.data) for each in results)
    # It is nowhere, nor did a tool tell it to the model.
    for body in models.asked:
        if body["model"] == "tells":
            found([each for each in body["messages"] if each["role"] == "tool"], "a tool's answer")
    for id, events in told.items():
        found(events, f"the stream of {id}")
        found("".join(each.data["data"]["text"] for each in events if each.name == "text"), id)
    for path, page in pages(system):
        found(page, path)
    assert said
    found(said, "Redis")
    found(system.logs(), "the logs")
    with db.connection():
        for table in TABLES:
            name = table._meta.table_name
            for row in db.proxy.execute_sql(f'SELECT * FROM "{name}"').fetchall():
                for value in row:
                    found(value, name)
