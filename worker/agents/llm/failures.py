"""What goes wrong with models, in words for the record."""

from collections.abc import Iterator
from datetime import timedelta

from pydantic_ai import exceptions as failed
from pydantic_core import PydanticSerializationError

from shared.states import ErrorCode
from worker.agents.llm.network import Refused
from worker.agents.placeholders import Redactor
from worker.agents.protocol import AgentError

_LONGEST = 500
_LONGEST_AFTER_SECONDS = 86_400
_LIMITS = {
    "request_limit": "limits.requests",
    "tool_calls_limit": "limits.toolCalls",
    "total_tokens_limit": "limits.totalTokens",
}


def explained(error: Exception, model: str, redactor: Redactor) -> AgentError:
    """*error* as an `AgentError` that says what may be tried again; raises what is not known."""
    for each in causes(error):
        if isinstance(each, AgentError):
            return each
        if isinstance(each, Refused):
            return AgentError(str(each), code=ErrorCode.REJECTED)
    said = _said(error, redactor)
    says = f"{model}: {said}"
    match error:
        case failed.UsageLimitExceeded():
            return AgentError(_in_our_words(said), code=ErrorCode.LIMIT_EXCEEDED)
        case failed.ContentFilterError():
            return AgentError(says)
        case failed.UnexpectedModelBehavior():
            return AgentError(_in_our_words(says), retryable=True)
        case failed.ModelQuotaExceededError() | failed.ModelRequestRejectedError():
            return AgentError(says)
        case failed.ModelAPIError():
            seconds = min(error.retry_after or 0, _LONGEST_AFTER_SECONDS)
            return AgentError(says, retryable=True, retry_after=timedelta(seconds=seconds))
        case failed.UserError() | ImportError():
            return AgentError(says, code=ErrorCode.REJECTED)
        case failed.AgentRunError():
            return AgentError(says)
        case UnicodeError() | PydanticSerializationError():
            return AgentError(f"{model} said what is no text.")
    raise error


def _in_our_words(says: str) -> str:
    """What the library *says*, without its advice, and by the names of our own options."""
    says = says.partition(" Consider ")[0]
    for theirs, ours in _LIMITS.items():
        says = says.replace(theirs, ours)
    return says


def causes(error: BaseException) -> Iterator[BaseException]:
    """*error* and what led to it, each once: where they are grouped they may lead in a circle."""
    found, seen = [error], set[int]()
    while found:
        each = found.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if before := each.__cause__ or each.__context__:
            found.append(before)
        if isinstance(each, BaseExceptionGroup):
            found.extend(reversed(each.exceptions))


def _said(error: Exception, redactor: Redactor) -> str:
    """What *error* says, on one line and without secrets, which a provider may have repeated."""
    # Of a secret that is cut nobody could tell that it is one.
    text = redactor.text(str(error) or type(error).__name__)
    return " ".join(text[:_LONGEST].split())
