"""OpenAI's chat completions, and all that speaks like them."""

import re
from collections.abc import Iterator
from typing import Any

from behaviours import Heard, Refusal, Said, Used

PATH = re.compile(r"/v1/chat/completions")
KEY = "Authorization"
# What ends a stream, beside its end.
END = b"data: [DONE]\n\n"


def hear(path: str, body: dict[str, Any]) -> Heard:
    """It is heard as it is."""
    return body


def say(model: str, said: Said) -> Iterator[dict[str, Any]]:
    """A chunk for each piece and each call, why it ends, and what it used up."""
    if said.thought:
        yield _chunk(model, {"role": "assistant", "reasoning_content": said.thought})
    for piece in said.pieces:
        yield _chunk(model, {"role": "assistant", "content": piece})
    for number, (id, name, arguments) in enumerate(said.numbered_calls()):
        function = {"name": name, "arguments": arguments}
        call = {"index": number, "id": id, "type": "function", "function": function}
        yield _chunk(model, {"role": "assistant", "tool_calls": [call]})
    yield _chunk(model, {}, "tool_calls" if said.calls else said.finish)
    if said.usage is not None:
        yield {**_chunk(model, {}), "choices": [], "usage": _usage(said.usage)}


def refuse(no: Refusal) -> tuple[dict[str, Any], dict[str, str]]:
    """An error, and the headers with it."""
    return fail(no), no.headers


def fail(no: Refusal) -> dict[str, Any]:
    """One in the middle of an answer."""
    return {"error": {"message": str(no)}}


def _chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "said-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _usage(used: Used) -> dict[str, Any]:
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }
