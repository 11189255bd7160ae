"""What is told of a model while it answers: no half of a secret, wherever a text is cut."""

import asyncio

import pytest
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
)

from worker.agents.llm.telling import Teller
from worker.agents.placeholders import Redactor

SECRET = "hunter2-hunter2-hunter2"
LONGEST = 4000


def told(reports, *events):
    async def stream():
        for event in events:
            yield event

    teller = Teller(lambda type, data: reports.append((type, data)), Redactor([SECRET]))
    asyncio.run(teller.tell(stream()))
    return reports


@pytest.mark.parametrize("before", [0, LONGEST - len(SECRET) // 2, LONGEST - 1, 2 * LONGEST - 5])
def test_a_secret_in_one_long_piece_shows_in_none_of_its_events(reports, before):
    text = "x" * before + SECRET + "y" * LONGEST

    told(reports, PartStartEvent(index=0, part=TextPart(content=text)))

    assert "".join(data["text"] for _, data in reports) == "x" * before + "***" + "y" * LONGEST
    assert all(len(data["text"]) <= LONGEST for _, data in reports)


def test_a_secret_that_comes_letter_by_letter_shows_in_none_of_its_events(reports):
    text = "x" * (LONGEST - 5) + SECRET + "!"
    pieces = [PartDeltaEvent(index=0, delta=TextPartDelta(content_delta=each)) for each in text]

    told(reports, PartStartEvent(index=0, part=TextPart(content="")), *pieces)

    assert "".join(data["text"] for _, data in reports) == "x" * (LONGEST - 5) + "***!"


@pytest.mark.parametrize("before", range(LONGEST // 4 * 3 - len(SECRET), LONGEST // 4 * 3, 6))
def test_a_secret_where_a_tool_s_answer_is_cut_shows_in_no_part(reports, before):
    content = "x" * before + SECRET + "y" * 3 * LONGEST
    part = ToolReturnPart(tool_name="env", content=content, tool_call_id="call_1")

    told(reports, FunctionToolResultEvent(part))

    ((type, data),) = reports
    assert type == "tool_result"
    assert "hunter2" not in data["content"]
    assert "bytes cut" in data["content"]


def test_a_secret_where_arguments_are_cut_shows_in_no_part(reports):
    arguments = "x" * (LONGEST // 4 * 3 - 10) + SECRET + "y" * 3 * LONGEST
    part = ToolCallPart(tool_name="env", args=arguments, tool_call_id="call_1")

    told(reports, FunctionToolCallEvent(part))

    ((_, data),) = reports
    assert "hunter" not in data["arguments"]
