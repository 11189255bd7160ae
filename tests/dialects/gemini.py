"""Google's generateContent, as a stream."""

import json
import re
from collections.abc import Iterator
from typing import Any

from behaviours import Heard, Refusal, Said, Used

PATH = re.compile(r"/v1beta/models/([^:/]+):streamGenerateContent\?alt=sse")
KEY = "x-goog-api-key"
END = b""
_ERRORS = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS"}


def hear(path: str, body: dict[str, Any]) -> Heard:
    """What was said, part by part; the model is named by the path."""
    found = PATH.fullmatch(path)
    assert found is not None
    instructions = body.get("systemInstruction", {"parts": []})["parts"]
    contents = [{"role": "system", "parts": instructions}, *body["contents"]]
    said = [_message(each["role"], part) for each in contents for part in each["parts"]]
    tools = [
        {"function": function}
        for tool in body.get("tools", [])
        for function in tool["functionDeclarations"]
    ]
    return {**body, "model": found[1], "messages": said, "tools": tools}


def _message(role: str, part: dict[str, Any]) -> dict[str, Any]:
    if "functionResponse" in part:
        (answer,) = part["functionResponse"]["response"].values()
        return {"role": "tool", "content": answer}
    text = part["text"] if "text" in part else json.dumps(part)
    return {"role": "assistant" if role == "model" else role, "content": text}


def say(model: str, said: Said) -> Iterator[dict[str, Any]]:
    """A chunk for each part, each with what was used up by then, and why it ends."""
    finish = _FINISHES[said.finish]
    if said.thought:
        yield _chunk(model, said, {"text": said.thought, "thought": True})
    for piece in said.pieces:
        yield _chunk(model, said, {"text": piece})
    for _, name, arguments in said.numbered_calls():
        try:
            call = {"name": name, "args": json.loads(arguments)}
        except ValueError:
            # Google keeps to itself what its model should not have written.
            finish = "MALFORMED_FUNCTION_CALL"
        else:
            yield _chunk(model, said, {"functionCall": call, "thoughtSignature": "c2VhbGVk"})
    yield _chunk(model, said, {"text": ""}, finishReason=finish)


def refuse(no: Refusal) -> tuple[dict[str, Any], dict[str, str]]:
    """An error, and the headers with it; when to come again stands in the error."""
    headers = dict(no.headers)
    after = headers.pop("Retry_After", None)
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{after}s"}
    return {"error": {**fail(no)["error"], "details": [info] if after else []}}, headers


def fail(no: Refusal) -> dict[str, Any]:
    """One in the middle of an answer."""
    status = _ERRORS.get(no.status, "UNAVAILABLE")
    return {"error": {"code": no.status, "message": str(no), "status": status}}


def _chunk(model: str, said: Said, part: dict[str, Any], **end: str) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, **end}
    used = {} if said.usage is None else {"usageMetadata": _usage(said.usage)}
    return {"candidates": [candidate], "modelVersion": model, "responseId": "said-1", **used}


def _usage(used: Used) -> dict[str, Any]:
    """As Google counts: what was thought stands beside what was said."""
    return {
        "promptTokenCount": used.input,
        "cachedContentTokenCount": used.cached,
        "candidatesTokenCount": used.output - used.reasoning,
        "thoughtsTokenCount": used.reasoning,
        "totalTokenCount": used.input + used.output,
    }
