"""How models are asked, and how they answer, at each kind of provider: a module per dialect.

`PATH` is where it is asked, `KEY` the header that carries a key. `hear` gives the name of the model
and the request in the form of OpenAI's chat completions, `say` the events of an answer, `END` what
comes behind them, `refuse` an error, and `fail` the event of one in the middle of an answer.
"""

from types import ModuleType

from dialects import chat, gemini, messages, responses

DIALECTS: tuple[ModuleType, ...] = (chat, responses, messages, gemini)


def of(path: str) -> ModuleType:
    """The dialect that is spoken at *path*."""
    return next(each for each in DIALECTS if each.PATH.fullmatch(path))
