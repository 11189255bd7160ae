"""A tool by which a model asks a person something; its run waits for the answer."""

from typing import Any

from pydantic_ai import CallDeferred, ModelRetry, RunContext, Tool, ToolFailed
from pydantic_ai.messages import ToolCallPart

from worker.agents.llm import json_schemas
from worker.agents.llm.tools_schema import ASK_PERSON
from worker.agents.protocol import Answer

_DESCRIPTION = (
    "Ask the person in charge what only a person can know or decide. It can take days until they"
    " answer, so ask all that you need in one question, with what they must know to answer it."
)
_PARAMETERS = {
    "type": "object",
    "properties": {"question": {"type": "string", "minLength": 1, "maxLength": 4000}},
    "required": ["question"],
    "additionalProperties": False,
}
_NO_ANSWER = "They do not answer that. Do without, or say what is missing."


def tool() -> Tool[None]:
    """The tool as a model is offered it."""
    return Tool.from_schema(
        _ask,
        name=ASK_PERSON,
        description=_DESCRIPTION,
        json_schema=_PARAMETERS,
        takes_ctx=True,
        args_validator=_check,
    )


def question(call: ToolCallPart) -> str | None:
    """What *call* asks; None: it is of another tool."""
    return call.args_as_dict()["question"] if call.tool_name == ASK_PERSON else None


def heard(answer: Answer) -> str | ToolFailed:
    """What the model hears of a person's *answer*."""
    says = answer.says or _NO_ANSWER
    return says if answer.approved else ToolFailed(says)


async def _check(context: RunContext[None], **arguments: Any) -> None:
    wrong = json_schemas.mistakes(arguments, _PARAMETERS)
    if wrong:
        raise ModelRetry(wrong)


async def _ask(context: RunContext[None], **arguments: Any) -> str:
    raise CallDeferred(kind="question")
