"""A server that speaks as OpenAI's chat completions do; what it does goes by the model's name."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 8},
}


@dataclass(frozen=True)
class Said:
    """What a model answers: a text in pieces, or calls of tools, by their names with arguments."""

    pieces: tuple[str, ...] = ()
    calls: tuple[tuple[str, Any], ...] = ()
    usage: Mapping[str, Any] | None = field(default_factory=lambda: USAGE)
    finish: str = "stop"
    #: Of the calls, where they are not to be of their own.
    ids: tuple[str, ...] = ()


class Refusal(Exception):
    """An answer with a status that says no."""

    def __init__(self, status: int, says: str, **headers: str) -> None:
        super().__init__(says)
        self.status, self.headers = status, headers


class HangUp(Exception):
    """The connection ends in the middle of an answer."""


Behaviour = Callable[["FakeModels", dict[str, Any]], Said]


class FakeModels:
    """The server. Use it as a context; `asked` are the bodies of its requests, in order."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        #: What it was asked to list, and the answer to that.
        self.looked_at: list[str] = []
        self.listing: tuple[int, Any] = (200, {"data": [{"id": name} for name in _BEHAVIOURS]})
        #: Set to have those answer that wait.
        self.released = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.behaviours: dict[str, Behaviour] = dict(_BEHAVIOURS)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.models = self

    def __enter__(self) -> "FakeModels":
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"


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
        models.keys.append(self.headers["Authorization"])
        self._answer(*models.listing, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        models = self.server.models
        models.asked.append(body)
        models.keys.append(self.headers["Authorization"])
        try:
            said = models.behaviours[body["model"]](models, body)
        except Refusal as no:
            self._answer(no.status, {"error": {"message": str(no)}}, no.headers)
            return
        except HangUp:
            self._head(200, {"Content-Type": "text/event-stream"})
            first = next(_chunks(body["model"], Said(pieces=("Once upon a",))))
            self.wfile.write(f'data: {json.dumps(first)}\n\ndata: {{"id": '.encode())
            self.close_connection = True
            return
        if body.get("stream"):
            self._head(200, {"Content-Type": "text/event-stream"})
            for chunk in _chunks(body["model"], said):
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True
        else:
            self._answer(200, _whole(body["model"], said), {})

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


def _calls(said: Said) -> list[dict[str, Any]]:
    return [
        {
            "index": number,
            "id": said.ids[number] if said.ids else f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(said.calls)
    ]


def _chunks(model: str, said: Said) -> Iterator[dict[str, Any]]:
    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**_frame(model, "chat.completion.chunk"), "choices": [choice]}

    for piece in said.pieces:
        yield chunk({"role": "assistant", "content": piece})
    if said.calls:
        yield chunk({"role": "assistant", "tool_calls": _calls(said)})
    yield chunk({}, "tool_calls" if said.calls else said.finish)
    if said.usage is not None:
        frame = _frame(model, "chat.completion.chunk")
        yield {**frame, "choices": [], "usage": said.usage}


def _whole(model: str, said: Said) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(said.pieces) or None}
    if said.calls:
        message["tool_calls"] = _calls(said)  # type: ignore[assignment]
    choice = {"index": 0, "message": message, "finish_reason": said.finish}
    return {**_frame(model, "chat.completion"), "choices": [choice], "usage": said.usage}


def _frame(model: str, kind: str) -> dict[str, Any]:
    return {"id": "said-1", "object": kind, "created": 1_700_000_000, "model": model}


def last(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last message that the model was told."""
    message: Mapping[str, Any] = body["messages"][-1]
    return message


def offered(body: Mapping[str, Any]) -> list[str]:
    """The names of the tools that the model may call."""
    return [tool["function"]["name"] for tool in body.get("tools", [])]


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says, as text."""
    content = message["content"]
    return content if isinstance(content, str) else json.dumps(content)


def _echo(models: FakeModels, body: dict[str, Any]) -> Said:
    return Said(pieces=("echo: ", text_of(last(body))))


def _tool(models: FakeModels, body: dict[str, Any]) -> Said:
    """Calls the first tool with what it is told, which is JSON; then says what that answered."""
    if last(body)["role"] == "tool":
        return Said(pieces=("It says: ", text_of(last(body))))
    return Said(calls=((offered(body)[0], json.loads(text_of(last(body)))),))


def _call(models: FakeModels, body: dict[str, Any]) -> Said:
    """Calls what it is told, as JSON: `[tool, arguments]`; then says what that answered."""
    if last(body)["role"] == "tool":
        return Said(pieces=("It says: ", text_of(last(body))))
    name, arguments = json.loads(text_of(last(body)))
    return Said(calls=((name, arguments),))


def _loop(models: FakeModels, body: dict[str, Any]) -> Said:
    return Said(calls=((offered(body)[0], {}),))


def _slow(models: FakeModels, body: dict[str, Any]) -> Said:
    models.waiting.release()
    models.released.wait(60)
    return Said(pieces=("At last",))


def _flaky(models: FakeModels, body: dict[str, Any]) -> Said:
    """Fails as often as an SDK tries by itself."""
    if len(models.asked) <= 3:
        raise Refusal(500, "It broke.")
    return Said(pieces=("Fine",))


def _busy(models: FakeModels, body: dict[str, Any]) -> Said:
    # More than an SDK waits for by itself.
    raise Refusal(429, "Too many requests.", Retry_After="90")


def _broken(models: FakeModels, body: dict[str, Any]) -> Said:
    raise Refusal(500, "It broke.")


def _locked(models: FakeModels, body: dict[str, Any]) -> Said:
    raise Refusal(401, f"Wrong key: {models.keys[-1]}")


def _unknown(models: FakeModels, body: dict[str, Any]) -> Said:
    raise Refusal(404, "There is no such model.")


def _truncated(models: FakeModels, body: dict[str, Any]) -> Said:
    raise HangUp


def _wrong_json(models: FakeModels, body: dict[str, Any]) -> Said:
    return Said(calls=((offered(body)[0], '{"total": "many'),))


def _unoffered(models: FakeModels, body: dict[str, Any]) -> Said:
    if last(body)["role"] == "tool":
        return Said(pieces=(text_of(last(body)),))
    return Said(calls=(("rm_rf", {"path": "/"}),))


def _unmeasured(models: FakeModels, body: dict[str, Any]) -> Said:
    return Said(pieces=("Who knows",), usage=None)


_BEHAVIOURS: dict[str, Behaviour] = {
    name.removeprefix("_").replace("_", "-"): behaviour
    for name, behaviour in {
        each.__name__: each
        for each in (
            *(
                _echo,
                _tool,
                _call,
                _loop,
                _slow,
                _flaky,
                _busy,
                _broken,
                _locked,
                _unknown,
                _truncated,
            ),
            *(_wrong_json, _unoffered, _unmeasured),
        )
    }.items()
}


@contextmanager
def serving() -> Iterator[FakeModels]:
    """A server, for the length of the block."""
    with FakeModels() as models:
        yield models
