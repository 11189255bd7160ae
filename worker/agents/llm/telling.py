"""What a model does, told as events of its run while it does it."""

import json
from collections.abc import AsyncIterable
from decimal import Decimal
from typing import Any

from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolReturnPart,
)

from shared import clock
from shared.attempts import Usage
from shared.wire import camel
from worker.agents.output import cap
from worker.agents.placeholders import Redactor
from worker.agents.protocol import Report

_LONGEST = 4000
_JOINED_SECONDS = 1.0


class Teller:
    """Reports what happens; pieces of a text are joined to one event a second."""

    def __init__(self, report: Report, redactor: Redactor) -> None:
        self._report = report
        self._redactor = redactor
        self._type, self._text, self._since = "text", "", 0.0

    def asked(self, number: int) -> None:
        """The model is asked, for the how manieth time."""
        self._report("model_request", {"number": number})

    def answered(self, response: ModelResponse, used: Usage) -> None:
        """The model has answered, which used that up."""
        said = {"model": response.model_name, "finishReason": response.finish_reason}
        self._report("model_response", {**said, **_wire(used)})

    async def tell(self, events: AsyncIterable[Any]) -> None:
        """Report *events* as they come."""
        try:
            async for event in events:
                self._one(event)
        finally:
            self._flush(whole=True)

    def _one(self, event: Any) -> None:
        match event:
            case PartStartEvent(part=TextPart(content=text)):
                self._add("text", text)
            case PartStartEvent(part=ThinkingPart(content=text)):
                self._add("thinking", text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                self._add("text", text)
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
                self._add("thinking", text)
            case PartEndEvent():
                self._flush(whole=True)
            case FunctionToolCallEvent(part=part):
                arguments = self._arguments(part.args)
                self._report(
                    "tool_call",
                    {"id": part.tool_call_id, "tool": part.tool_name, "arguments": arguments},
                )
            case FunctionToolResultEvent(part=ToolReturnPart() as part):
                self._result(part, part.model_response_str(), part.outcome)
            case FunctionToolResultEvent(part=part):
                self._result(part, str(part.content), "failed")

    def _result(self, part: Any, content: str, outcome: str) -> None:
        self._report(
            "tool_result",
            {
                "id": part.tool_call_id,
                "tool": part.tool_name,
                "content": cap(self._redactor.text(content), _LONGEST),
                "outcome": outcome,
            },
        )

    def _add(self, type: str, text: str) -> None:
        if type != self._type:
            self._flush(whole=True)
            self._type = type
        if not self._text:
            self._since = clock.monotonic()
        self._text += text
        if len(self._text) >= _LONGEST or clock.monotonic() - self._since >= _JOINED_SECONDS:
            self._flush(whole=False)

    def _flush(self, *, whole: bool) -> None:
        """Report what there is of a text; what may begin a secret waits, unless that is all."""
        end = len(self._text) - (0 if whole else self._redactor.unfinished(self._text))
        # What is cut is redacted before, or half a secret would show at each end.
        text, self._text = self._redactor.text(self._text[:end]), self._text[end:]
        self._since = clock.monotonic()
        for start in range(0, len(text), _LONGEST):
            self._report(self._type, {"text": text[start : start + _LONGEST]})

    def _arguments(self, arguments: str | dict[str, Any] | None) -> Any:
        """What a tool is called with: an object, or the text that should have been one."""
        arguments = self._redactor.tree(arguments)
        if not isinstance(arguments, str):
            text = json.dumps(arguments or {})
            return arguments or {} if len(text) <= _LONGEST else cap(text, _LONGEST)
        if len(arguments) > _LONGEST:
            return cap(arguments, _LONGEST)
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments


def _wire(used: Usage) -> dict[str, int | float]:
    return {
        camel(name): float(each) if isinstance(each, Decimal) else each
        for name, each in used.known().items()
    }
