"""OpenAI's Responses."""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from behaviours import Heard, Refusal, Said, Used

PATH = re.compile(r"/v1/responses")
KEY = "Authorization"
END = b""
# Of what is said, each thing is known by an id.
_ids = count(1)


def hear(path: str, body: dict[str, Any]) -> Heard:
    """Its input, message by message, and its tools."""
    system = [{"role": "system", "content": body["instructions"]}] if "instructions" in body else []
    tools = [{"function": tool} for tool in body.get("tools", [])]
    return {**body, "messages": [*system, *map(_message, body["input"])], "tools": tools}


def _message(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": item["output"]}
    content = item.get("content", "")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return {"role": item.get("role", "assistant"), "content": content}


def say(model: str, said: Said) -> Iterator[dict[str, Any]]:
    """Each item of the output from its beginning to its end, within those of the response."""
    response: dict[str, Any] = {
        "id": f"resp_{next(_ids)}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "in_progress",
    }
    end = {"status": "completed", "usage": said.usage and _usage(said.usage)}
    if said.finish == "length":
        reason = {"incomplete_details": {"reason": "max_output_tokens"}}
        end |= {"status": "incomplete", **reason}
    events = (
        {"type": "response.created", "response": response},
        *_items(said),
        {"type": f"response.{end['status']}", "response": response | end},
    )
    for number, event in enumerate(events):
        yield {**event, "sequence_number": number}


def _items(said: Said) -> Iterator[dict[str, Any]]:
    if said.thought:
        item = {"type": "reasoning", "id": f"rs_{next(_ids)}", "summary": []}
        at = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
        whole = {"type": "summary_text", "text": said.thought}
        sealed = {"summary": [whole], "encrypted_content": "sealed"}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": said.thought}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item | sealed}
    if said.pieces:
        item = {"type": "message", "id": f"msg_{next(_ids)}", "role": "assistant", "content": []}
        at = {"item_id": item["id"], "output_index": 1, "content_index": 0}
        text = "".join(said.pieces)
        part = {"type": "output_text", "text": text, "annotations": []}
        yield {"type": "response.output_item.added", "output_index": 1, "item": item}
        for piece in said.pieces:
            yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **at, "text": text, "logprobs": []}
        yield {
            "type": "response.output_item.done",
            "output_index": 1,
            "item": item | {"content": [part], "status": "completed"},
        }
    for number, (id, name, arguments) in enumerate(said.numbered_calls(), 2):
        call = {"type": "function_call", "id": f"fc_{next(_ids)}", "call_id": id, "name": name}
        at = {"item_id": call["id"], "output_index": number}
        added, done = ({**call, "arguments": each} for each in ("", arguments))
        yield {"type": "response.output_item.added", "output_index": number, "item": added}
        yield {"type": "response.function_call_arguments.delta", **at, "delta": arguments}
        yield {"type": "response.function_call_arguments.done", **at, "arguments": arguments}
        yield {"type": "response.output_item.done", "output_index": number, "item": done}


def refuse(no: Refusal) -> tuple[dict[str, Any], dict[str, str]]:
    """An error, and the headers with it."""
    return {"error": {"message": str(no), "type": "error", "code": None}}, no.headers


def fail(no: Refusal) -> dict[str, Any]:
    """One in the middle of an answer."""
    return {"type": "error", "code": "server_error", "message": str(no), "sequence_number": 99}


def _usage(used: Used) -> dict[str, Any]:
    return {
        "input_tokens": used.input,
        "output_tokens": used.output,
        "total_tokens": used.input + used.output,
        "input_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
    }
