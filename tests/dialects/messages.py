"""Anthropic's messages."""

import json
import re
from collections.abc import Iterator
from typing import Any

from behaviours import Heard, Refusal, Said, Used

PATH = re.compile(r"/v1/messages(\?beta=true)?")
# So its SDK sends it since version 2.
KEY = "Authorization"
END = b""
_ERRORS = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_FINISHES = {"stop": "end_turn", "length": "max_tokens"}


def hear(path: str, body: dict[str, Any]) -> Heard:
    """What was said, where each result of a tool is a message of its own."""
    system = [{"role": "system", "content": _text(body["system"])}] if "system" in body else []
    said = [each for message in body["messages"] for each in _messages(message)]
    tools = [{"function": tool} for tool in body.get("tools", [])]
    return {**body, "messages": [*system, *said], "tools": tools}


def _messages(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        match block["type"]:
            case "text":
                yield {"role": message["role"], "content": block["text"]}
            case "tool_use":
                yield {"role": "assistant", "content": json.dumps(block["input"])}
            case "tool_result":
                yield {"role": "tool", "content": _text(block["content"])}


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(each["text"] for each in content)


def say(model: str, said: Said) -> Iterator[dict[str, Any]]:
    """Each block of the content from its start to its stop, within those of the message."""
    # It never leaves that off.
    usage = _usage(said.usage or Used())
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        # What was read is known before anything is said.
        "usage": {**usage, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    for number, (block, deltas) in enumerate(_blocks(said)):
        yield {"type": "content_block_start", "index": number, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": number, "delta": delta}
        yield {"type": "content_block_stop", "index": number}
    finish = "tool_use" if said.calls else _FINISHES[said.finish]
    delta = {"stop_reason": finish, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _blocks(said: Said) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if said.thought:
        thinking = {"type": "thinking_delta", "thinking": said.thought}
        signature = {"type": "signature_delta", "signature": "sealed"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [thinking, signature]
    if said.pieces:
        deltas = [{"type": "text_delta", "text": piece} for piece in said.pieces]
        yield {"type": "text", "text": ""}, deltas
    for id, name, arguments in said.numbered_calls():
        block = {"type": "tool_use", "id": id, "name": name, "input": {}}
        yield block, [{"type": "input_json_delta", "partial_json": arguments}]


def refuse(no: Refusal) -> tuple[dict[str, Any], dict[str, str]]:
    """An error, and the headers with it."""
    return fail(no), no.headers


def fail(no: Refusal) -> dict[str, Any]:
    """One in the middle of an answer."""
    type = _ERRORS.get(no.status, "api_error")
    return {"type": "error", "error": {"type": type, "message": str(no)}}


def _usage(used: Used) -> dict[str, Any]:
    """As Anthropic counts: what the cache had, and what went there, is no input."""
    return {
        "input_tokens": used.input - used.cached - used.written,
        "cache_read_input_tokens": used.cached,
        "cache_creation_input_tokens": used.written,
        "output_tokens": used.output,
        "output_tokens_details": {"thinking_tokens": used.reasoning},
    }
