"""A server that speaks as providers of models do; what a model does goes by its name."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from types import ModuleType
from typing import Any

import dialects
from behaviours import (
    BEHAVIOURS,
    Behaviour,
    HangUp,
    Refusal,
    Said,
    Used,
    last,
    offered,
    text_of,
)

__all__ = ["FakeModels", "HangUp", "Refusal", "Said", "Used", "last", "offered", "text_of"]


class FakeModels:
    """The server. Use it as a context; `asked` are the bodies of its requests, in order."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        #: What stood in the headers of all requests, and the keys among that.
        self.headers: list[Mapping[str, str]] = []
        self.keys: list[str | None] = []
        #: Where it was asked, what it was asked to list, and the answer to that.
        self.paths: list[str] = []
        self.looked_at: list[str] = []
        self.listing: tuple[int, Any] = (200, {"data": [{"id": name} for name in BEHAVIOURS]})
        #: Set to have those answer that wait.
        self.released = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.behaviours: dict[str, Behaviour] = dict(BEHAVIOURS)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.models = self

    def __enter__(self) -> "FakeModels":
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its base URL, as those of OpenAI are."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """Its base URL, as those of others are."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Server(ThreadingHTTPServer):
    models: FakeModels
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that clients go is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without these, each call takes 40 ms longer.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        models = self.server.models
        models.looked_at.append(self.path)
        models.headers.append(dict(self.headers))
        models.keys.append(self.headers["Authorization"])
        self._answer(*models.listing, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        models, dialect = self.server.models, dialects.of(self.path)
        models.asked.append(body)
        models.paths.append(self.path)
        models.headers.append(dict(self.headers))
        models.keys.append(self.headers[dialect.KEY])
        heard = dialect.hear(self.path, body)
        try:
            said = models.behaviours[heard["model"]](models, heard)
        except Refusal as no:
            self._answer(no.status, *dialect.refuse(no))
        except HangUp as end:
            self._tell(_begun(dialect, heard["model"], end))
        else:
            self._tell(dialect.say(heard["model"], said))
            self.wfile.write(dialect.END)

    def _tell(self, events: Iterable[Mapping[str, Any]]) -> None:
        self._head(200, {"Content-Type": "text/event-stream"})
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _answer(self, status: int, document: Any, headers: Mapping[str, str]) -> None:
        data = json.dumps(document).encode()
        self._head(
            status,
            {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers},
        )
        self.wfile.write(data)


def _begun(dialect: ModuleType, model: str, end: HangUp) -> Iterator[Mapping[str, Any]]:
    """The events of an answer up to where it ends, and that of the error which it ends with."""
    events = dialect.say(model, end.said)
    yield from takewhile(lambda event: end.before not in json.dumps(event), events)
    if end.refusal is not None:
        yield dialect.fail(end.refusal)
