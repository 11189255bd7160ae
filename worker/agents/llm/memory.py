"""What was said, as a text: what a run goes on from, and what a session remembers of it."""

import json
from itertools import groupby

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from worker.agents.placeholders import Redactor

#: Characters of what is remembered, at most.
MOST = 1024 * 1024


def dumped(messages: list[ModelMessage], redactor: Redactor) -> str:
    """*messages* as a text, in which no secret shows."""
    text = ModelMessagesTypeAdapter.dump_json(messages).decode()
    if redactor.text(text) == text:
        return text
    # Of the text itself that could take something that is no secret, and leave no JSON.
    return json.dumps(redactor.tree(ModelMessagesTypeAdapter.dump_python(messages, mode="json")))


def shortened(messages: list[ModelMessage], redactor: Redactor) -> str:
    """*messages* without so many of the first runs that the rest fits; at worst, nothing of it."""
    runs = [list(said) for _, said in groupby(messages, key=_run_of)]
    while runs:
        text = dumped([each for run in runs for each in run], redactor)
        if len(text) <= MOST:
            return text
        # Never half a run: what a tool answered makes no sense without its call.
        del runs[0]
    return ""


def _run_of(message: ModelMessage) -> str:
    """The run in which it was said, of whichever attempt."""
    return (message.run_id or "").partition(".")[0]
