"""One attempt: the agent of a claimed run is made, run, and what came of it judged.

Knows agents and nothing of leases: `runner` holds the run meanwhile and records the verdict.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from marshmallow import ValidationError

from shared import kinds
from shared.attempts import Claimed, Outcome, failure
from shared.errors import Invalid
from shared.settings import Settings
from shared.states import CANCELLED, COMPLETED, FAILED, ErrorCode
from worker.agents.output import cap, storable
from worker.agents.placeholders import redact
from worker.agents.protocol import Agent, AgentError, Context, Report, Result
from worker.agents.stop import Stop, StopReason

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 4096
_LONGEST_MODEL = 200


@dataclass(frozen=True)
class Retryable:
    """The attempt failed in a way that another one may not."""

    error: dict[str, str]


# An end, a failure to be retried, or nothing to be said: the run is no longer ours to speak for.
Verdict = Outcome | Retryable | StopReason


class Attempt:
    """What one attempt at a run needs; `make` does it."""

    def __init__(self, run: Claimed, settings: Settings) -> None:
        self._run = run
        self._settings = settings

    def make(self, stop: Stop, report: Report, now: datetime) -> Verdict:
        """Run the agent, unless it is to stop already. Raises nothing, whatever the agent does."""
        if stop.reason:
            return stopped(self._run, stop.reason)
        context = self._context(stop, report, now)
        try:
            return self._completed(self._agent().run(self._run.message, context))
        except (Invalid, ValidationError) as error:
            return Outcome(status=FAILED, error=failure(ErrorCode.REJECTED, self._shown(error)))
        except Exception as error:
            return stopped(self._run, stop.reason) if stop.reason else self._failed(error)

    def _agent(self) -> Agent:
        kind = cast(type[Agent], kinds.get(self._run.kind))
        config: Mapping[str, Any] = kinds.schema(self._run.kind).load(self._run.config)
        return kind(config)

    def _context(self, stop: Stop, report: Report, now: datetime) -> Context:
        run = self._run
        return Context(
            run_id=run.id,
            agent_id=run.agent_id,
            attempt=run.attempt,
            deadline=now + timedelta(seconds=run.timeout_seconds),
            stop=stop,
            report=report,
            schedule_id=run.schedule_id,
            scheduled_for=run.scheduled_for,
            previous_success=run.previous_success,
            output_limit=self._settings.output_limit,
            environment=self._settings.agent_environment,
            secrets=self._settings.secrets,
            allow_private_addresses=self._settings.allow_private_addresses,
        )

    def _completed(self, result: Result) -> Verdict:
        return Outcome(
            status=COMPLETED,
            content=cap(self._redacted(result.content), self._settings.output_limit),
            model=result.model and cap(result.model, _LONGEST_MODEL),
            input_tokens=_counted(result.input_tokens),
            output_tokens=_counted(result.output_tokens),
            cost_usd=_priced(result.cost_usd),
            metadata=storable(result.metadata),
        )

    def _failed(self, error: Exception) -> Verdict:
        if not isinstance(error, AgentError):
            # A fault of the kind, not of what it was told: its author wants to see where.
            logger.exception("run %s: its agent raised", self._run.id)
            says = f"{type(error).__name__}: {error}"
            return Outcome(status=FAILED, error=failure(ErrorCode.AGENT_ERROR, self._shown(says)))
        described = failure(error.code, self._shown(error))
        return Retryable(described) if error.retryable else Outcome(status=FAILED, error=described)

    def _shown(self, says: object) -> str:
        return cap(self._redacted(str(says)), _LONGEST_ERROR)

    def _redacted(self, text: str) -> str:
        return redact(text, self._settings.secrets.values())


def stopped(run: Claimed, reason: StopReason) -> Verdict:
    """What comes of an attempt at *run* whose agent was told to stop."""
    match reason:
        case StopReason.CANCELLED:
            return Outcome(status=CANCELLED)
        case StopReason.TIMEOUT:
            says = f"The agent was stopped after its {run.timeout_seconds} seconds."
            return Outcome(status=FAILED, error=failure(ErrorCode.TIMEOUT, says))
        case StopReason.DRAINED | StopReason.LOST:
            return reason


def _counted(tokens: int | None) -> int | None:
    """*tokens*, if that is a number that a run can have used."""
    return tokens if isinstance(tokens, int) and 0 <= tokens < 2**31 else None


def _priced(cost: Decimal | None) -> Decimal | None:
    """*cost*, if that is a price that a run can have had."""
    if not isinstance(cost, Decimal) or not cost.is_finite() or not 0 <= cost < 10**8 - 1:
        return None
    return round(cost, 6)
