"""What the models of tests do, by their names, whichever dialect they are asked in.

A model hears every request in the form of OpenAI's chat completions (`messages`, `tools`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_models import FakeModels


@dataclass(frozen=True)
class Used:
    """Tokens: those of the cache are among the input, those of reasoning among the output."""

    input: int = 100
    output: int = 20
    cached: int = 40
    written: int = 0
    reasoning: int = 8


@dataclass(frozen=True)
class Said:
    """What a model answers: a text in pieces, or calls of tools, by their names with arguments."""

    pieces: tuple[str, ...] = ()
    calls: tuple[tuple[str, Any], ...] = ()
    usage: Used | None = Used()
    finish: str = "stop"
    #: Of the calls, where they are not to be of their own.
    ids: tuple[str, ...] = ()
    #: What it thought before it answered.
    thought: str = ""

    def numbered_calls(self) -> list[tuple[str, str, str]]:
        """Each call: its id, its name, its arguments as a text."""
        return [
            (
                self.ids[number] if self.ids else f"call_{number}",
                name,
                given if isinstance(given, str) else json.dumps(given),
            )
            for number, (name, given) in enumerate(self.calls)
        ]


class Refusal(Exception):
    """An answer with a status that says no."""

    def __init__(self, status: int, says: str, **headers: str) -> None:
        super().__init__(says)
        self.status, self.headers = status, headers


class HangUp(Exception):
    """An answer that ends where it would say *before*: with that refusal, or without a word."""

    def __init__(self, said: Said, before: str, refusal: Refusal | None = None) -> None:
        super().__init__(before)
        self.said, self.before, self.refusal = said, before, refusal


Heard = dict[str, Any]
Behaviour = Callable[["FakeModels", Heard], Said]


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


def _echo(models: "FakeModels", body: Heard) -> Said:
    return Said(pieces=("echo: ", text_of(last(body))))


def _thinker(models: "FakeModels", body: Heard) -> Said:
    """Thinks, and then does what `tool` does if it may, or what `echo` does."""
    said = _tool(models, body) if offered(body) else _echo(models, body)
    return Said(pieces=said.pieces, calls=said.calls, thought="Let me see.")


def _tool(models: "FakeModels", body: Heard) -> Said:
    """Calls the first tool with what it is told, which is JSON; then says what that answered."""
    if last(body)["role"] == "tool":
        return Said(pieces=("It says: ", text_of(last(body))))
    return Said(calls=((offered(body)[0], json.loads(text_of(last(body)))),))


def _call(models: "FakeModels", body: Heard) -> Said:
    """Calls what it is told, as JSON: `[tool, arguments]`; then says what that answered."""
    if last(body)["role"] == "tool":
        return Said(pieces=("It says: ", text_of(last(body))))
    name, arguments = json.loads(text_of(last(body)))
    return Said(calls=((name, arguments),))


def _loop(models: "FakeModels", body: Heard) -> Said:
    return Said(calls=((offered(body)[0], {}),))


def _slow(models: "FakeModels", body: Heard) -> Said:
    models.waiting.release()
    models.released.wait(60)
    return Said(pieces=("At last",))


def _flaky(models: "FakeModels", body: Heard) -> Said:
    """Fails as often as an SDK tries by itself."""
    if len(models.asked) <= 3:
        raise Refusal(500, "It broke.")
    return Said(pieces=("Fine",))


def _busy(models: "FakeModels", body: Heard) -> Said:
    # More than an SDK waits for by itself.
    raise Refusal(429, "Too many requests.", Retry_After="90")


def _broken(models: "FakeModels", body: Heard) -> Said:
    raise Refusal(500, "It broke.")


def _overloaded(models: "FakeModels", body: Heard) -> Said:
    raise Refusal(529, "Overloaded.")


def _locked(models: "FakeModels", body: Heard) -> Said:
    raise Refusal(401, f"Wrong key: {models.keys[-1]}")


def _unknown(models: "FakeModels", body: Heard) -> Said:
    raise Refusal(404, "There is no such model.")


def _truncated(models: "FakeModels", body: Heard) -> Said:
    raise HangUp(Said(pieces=("Once upon a", " time")), before=" time")


def _collapsing(models: "FakeModels", body: Heard) -> Said:
    overloaded = Refusal(529, "Overloaded.")
    raise HangUp(Said(pieces=("Once upon a", " time")), before=" time", refusal=overloaded)


def _cut_short(models: "FakeModels", body: Heard) -> Said:
    return Said(pieces=("And so",), finish="length")


def _wrong_json(models: "FakeModels", body: Heard) -> Said:
    return Said(calls=((offered(body)[0], '{"total": "many'),))


def _unoffered(models: "FakeModels", body: Heard) -> Said:
    if last(body)["role"] == "tool":
        return Said(pieces=(text_of(last(body)),))
    return Said(calls=(("rm_rf", {"path": "/"}),))


def _unmeasured(models: "FakeModels", body: Heard) -> Said:
    return Said(pieces=("Who knows",), usage=None)


BEHAVIOURS: dict[str, Behaviour] = {
    each.__name__.removeprefix("_").replace("_", "-"): each
    for each in (
        *(_echo, _thinker, _tool, _call, _loop, _slow, _cut_short, _unoffered, _unmeasured),
        *(_flaky, _busy, _broken, _overloaded, _locked, _unknown, _truncated, _collapsing),
        _wrong_json,
    )
}
