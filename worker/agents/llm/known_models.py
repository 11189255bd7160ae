"""Whether a provider knows a model: what its list of models says, which costs nothing to ask."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from shared.findings import FAIL, OK, WARN, Finding, Status
from worker.agents.http_phrases import phrase
from worker.agents.llm import models, network
from worker.agents.llm.schema import model_of, provider_of
from worker.agents.protocol import Context

_NO_SUCH_ROUTE = {404, 405, 501}
_NAMED = 5
_TRY = "Run the agent once to see."


async def look(config: Mapping[str, Any], context: Context) -> Finding:
    """Whether the provider can be reached, takes the key, and knows the model."""
    url, headers = _question(config, models.key(config, context))
    client = network.client(context)
    try:
        answer = await client.get(url, headers={"user-agent": "agent-manager", **headers})
    except UnicodeEncodeError:
        return _finding(FAIL, "Its key is no plain ASCII text.", "Look at that secret.")
    to = urlsplit(url)
    return _judged(answer, f"{to.scheme}://{to.netloc}", config)


def _question(config: Mapping[str, Any], key: str) -> tuple[str, dict[str, str]]:
    """The URL to ask for one model or all, and the headers to ask it with."""
    name = quote(model_of(config["model"]), safe="")
    match provider_of(config["model"]):
        case "anthropic":
            base = _base(config, models.ANTHROPIC)
            version = {"anthropic-version": "2023-06-01"}
            return f"{base}/v1/models/{name}", {"authorization": f"Bearer {key}", **version}
        case "google":
            return f"{_base(config, models.GOOGLE)}/v1beta/models/{name}", {"x-goog-api-key": key}
    return f"{_base(config, models.OPENAI)}/models", {"authorization": f"Bearer {key}"}


def _base(config: Mapping[str, Any], otherwise: str) -> str:
    return (config["baseUrl"] or otherwise).rstrip("/")


def _judged(answer: httpx2.Response, origin: str, config: Mapping[str, Any]) -> Finding:
    name, status = model_of(config["model"]), answer.status_code
    said = f"{origin} answered {status} {phrase(status)}"
    untold = f"Whether there is a model {name} cannot be told: "
    of_one = provider_of(config["model"]) in ("anthropic", "google")
    if answer.is_success:
        listed = [name] if of_one else _listed(answer)
        if listed is None:
            return _finding(WARN, f"{untold}{origin} gave no list of models.", _TRY)
        return _found(origin, name, listed)
    # Google answers 400 then.
    if status in (401, 403) or "API_KEY_INVALID" in answer.text:
        return _finding(FAIL, f"{said}: it does not take the key.", "Give another as its secret.")
    if status == HTTPStatus.NOT_FOUND and of_one and config["baseUrl"] is None:
        return _finding(FAIL, f"{origin} knows no model {name}.", "Choose one that it has.")
    if status in _NO_SUCH_ROUTE:
        return _finding(WARN, f"{untold}{said}.", _TRY)
    if status >= 500:
        return _finding(FAIL, f"{said}.", "Check again later.")
    return _finding(WARN, f"{untold}{said}.", "Check again later.")


def _found(origin: str, name: str, listed: list[str]) -> Finding:
    # Ollama's have a tag, which may be left out.
    if name in listed or f"{name}:latest" in listed:
        return _finding(OK, f"{origin} knows the model {name}.")
    others = f"; it has {', '.join(listed[:_NAMED])}{' …' if listed[_NAMED:] else ''}"
    return _finding(
        FAIL,
        f"{origin} knows no model {name}{others if listed else ''}.",
        "Choose one that it has.",
    )


def _listed(answer: httpx2.Response) -> list[str] | None:
    """The ids in a list of models. None: it is no such list."""
    try:
        document = json.loads(answer.text)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    return [str(each["id"])[:200] for each in data if isinstance(each, dict) and "id" in each]


def _finding(status: Status, says: str, cure: str = "") -> Finding:
    return Finding("model", status, says, cure)
