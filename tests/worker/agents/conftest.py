"""Fixtures for the kinds: a context as a worker would give, and services to talk to."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from fake_models import FakeModels

from shared.attempts import Usage
from worker.agents.llm.agent import LlmAgent
from worker.agents.protocol import Agent, Context, Pause, Result
from worker.agents.stop import Stop

RUN_ID = UUID("0197a3f0-0000-7000-8000-000000000001")


@pytest.fixture
def reports() -> list[tuple[str, Mapping[str, Any]]]:
    """What the agents of a test have reported."""
    return []


@pytest.fixture
def used() -> list[Usage]:
    """What the agents of a test say that they have used up."""
    return []


@pytest.fixture
def kept() -> list[str]:
    """What the agents of a test have kept, the latest last."""
    return []


@pytest.fixture
def make_context(reports, used, kept):
    """Makes a context with a real stop; reports go to `reports`."""

    def make(**changes: Any) -> Context:
        given: dict[str, Any] = {
            "run_id": RUN_ID,
            "agent_id": "tester",
            "session_id": RUN_ID,
            "attempt": 1,
            "deadline": datetime(2030, 1, 1, 12, 0, tzinfo=UTC),
            "stop": Stop(),
            "report": lambda kind, data: reports.append((kind, data)),
            "use": lambda usage, model=None: used.append(usage),
            "keep": lambda state: kept.append(state) or True,
            "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        }
        return Context(**(given | changes))

    return make


@pytest.fixture
def make():
    """Makes an agent of a kind from a raw configuration, as the worker does."""

    def make(kind: type[Agent], **config: Any) -> Agent:
        return kind(kind.config_schema().load(config))

    return make


@pytest.fixture
def start() -> Iterator[Callable[[Agent, str, Context], Future[Result]]]:
    """Runs an agent in a thread of its own."""
    with ThreadPoolExecutor() as pool:
        yield lambda agent, message, context: pool.submit(agent.run, message, context)


@pytest.fixture
def models() -> Iterator[FakeModels]:
    """A server that speaks as providers do."""
    with FakeModels() as models:
        yield models


@pytest.fixture
def provider() -> str:
    """The provider that is asked."""
    return "openai-chat"


@pytest.fixture
def base_url(models, provider) -> str:
    """Where it is."""
    return models.root if provider in ("anthropic", "google") else models.url


@pytest.fixture
def ask(make, make_context, provider, base_url):
    """Asks the model of that name; *context* are changes to the agent's context."""

    def ask(
        model: str,
        message: str = "Hello",
        *,
        context: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Result | Pause:
        agent = make(LlmAgent, model=f"{provider}:{model}", baseUrl=base_url, **config)
        given = {"allow_private_addresses": True, **(context or {})}
        return agent.run(message, make_context(**given))

    return ask


@dataclass(frozen=True)
class Asked:
    """A request as a service has received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Service:
    """An HTTP server whose answers are scripted: the last one is given again and again."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: list[tuple[int, Mapping[str, str], bytes]] = field(default_factory=list)

    def will_answer(self, status: int, body: str | bytes = b"", **headers: str) -> None:
        """Add an answer; `_` in the name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.append((status, named, body.encode() if isinstance(body, str) else body))


@pytest.fixture
def service() -> Iterator[Service]:
    """A real HTTP server on the loopback interface."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            service.asked.append(Asked(self.command, self.path, self.headers, body))
            position = min(len(service.asked), len(service.script)) - 1
            status, headers, answer = service.script[position]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}/run"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield service
        server.shutdown()
        thread.join()


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Starts a server that does with each connection what the test says; gives its URL.

    Its connections stay open until the test is over.
    """
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def serve(listener: socket.socket, behave: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            opened.append(connection)
            try:
                behave(connection)
            except OSError:
                connection.close()

    def start(behave: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)
        threads.append(threading.Thread(target=serve, args=(listener, behave)))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/run"

    yield start
    for each in list(opened):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
    for thread in threads:
        thread.join()
