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


def explained(error: Exception, model: str, redactor: Redactor) -> AgentError:
    """*error* as an `AgentError` that says what may be tried again; raises what is not known."""
    for each in _causes(error):
        if isinstance(each, AgentError):
            return each
        if isinstance(each, Refused):
            return AgentError(str(each), code=ErrorCode.REJECTED)
    said = _said(error, redactor)
    says = f"{model}: {said}"
    match error:
        case failed.UsageLimitExceeded():
            return AgentError(said, code=ErrorCode.LIMIT_EXCEEDED)
        case failed.ContentFilterError():
            return AgentError(says)
        case failed.UnexpectedModelBehavior():
            return AgentError(says, retryable=True)
        case failed.ModelQuotaExceededError() | failed.ModelRequestRejectedError():
            return AgentError(says)
        case failed.ModelAPIError():
            after = getattr(error, "retry_after", None)
            return AgentError(
                says, retryable=True, retry_after=timedelta(seconds=after if after else 0)
            )
        case failed.UserError() | ImportError():
            return AgentError(says, code=ErrorCode.REJECTED)
        case failed.AgentRunError():
            return AgentError(says)
        case UnicodeError() | PydanticSerializationError():
            return AgentError(f"{model} said what is no text.")
    raise error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from _causes(error.exceptions[0])
        error = error.__cause__ or error.__context__


def _said(error: Exception, redactor: Redactor) -> str:
    """What *error* says, on one line and without secrets, which a provider may have repeated."""
    return " ".join(redactor.text(str(error) or type(error).__name__)[:_LONGEST].split())
