"""What a session remembers: the latest turns, as many as there is room for."""

from itertools import groupby

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

#: Characters of what is remembered, at most.
MOST = 1024 * 1024


def shortened(messages: list[ModelMessage]) -> str:
    """*messages* without so many of the first runs that the rest fits; at worst, nothing of it."""
    runs = [list(said) for _, said in groupby(messages, key=_run_of)]
    while runs:
        text = ModelMessagesTypeAdapter.dump_json([each for run in runs for each in run]).decode()
        if len(text) <= MOST:
            return text
        # Never half a run: what a tool answered makes no sense without its call.
        del runs[0]
    return ""


def _run_of(message: ModelMessage) -> str:
    """The run in which it was said, of whichever attempt."""
    return (message.run_id or "").partition(".")[0]
