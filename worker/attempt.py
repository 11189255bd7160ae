"""One attempt: the agent of a claimed run is made, run, and what came of it judged.

Knows agents and nothing of leases: `runner` holds the run meanwhile and records the verdict.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from marshmallow import ValidationError

from shared import checks, conversations, kinds, templates
from shared.attempts import Claimed, Outcome, Usage, failure
from shared.conversations import Memory
from shared.errors import Invalid
from shared.settings import Settings
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    ApprovalPolicy,
    ErrorCode,
    SessionPolicy,
    Trigger,
)
from worker.agents import checkup
from worker.agents.output import UNFIT, UNSTORABLE, cap, storable
from worker.agents.placeholders import Redactor
from worker.agents.protocol import Agent, AgentError, Answer, Context, Pause, Result
from worker.agents.stop import Stop, StopReason
from worker.reporter import Reporter

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 4096
_LONGEST_MODEL = 200
_BEFORE = "\n\nThe answer of the run before this one:\n{}"


@dataclass(frozen=True)
class Retryable:
    """The attempt failed in a way that another one may not."""

    error: dict[str, str]
    # Not before so long from now.
    after: timedelta = timedelta()


@dataclass(frozen=True)
class Paused:
    """The agent waits for a person to answer what it asks."""

    asks: list[dict[str, Any]]


# An end, a failure to be retried, a pause, or nothing to be said: the run is no longer ours.
Verdict = Outcome | Retryable | Paused | StopReason


class Attempt:
    """What one attempt at a run needs; `make` does it."""

    def __init__(self, run: Claimed, memory: Memory, settings: Settings) -> None:
        self._run = run
        self._memory = memory
        self._settings = settings
        self._redactor = Redactor(settings.secrets.values())

    def make(self, stop: Stop, reporter: Reporter, now: datetime) -> Verdict:
        """Run the agent, unless it is to stop already. Raises nothing, whatever the agent does."""
        if stop.reason:
            return stopped(self._run, stop.reason)
        try:
            if self._run.trigger is Trigger.CHECK:
                return self._checked(self._context(stop, reporter, now))
            message = self._message()
            if message != self._run.message:
                reporter.report("message", {"text": self._redactor.text(message)})
            came = self._agent().run(message, self._context(stop, reporter, now))
            if isinstance(came, Pause):
                return self._paused(came)
            reporter.use(came.usage())
            return self._completed(came)
        except (Invalid, ValidationError) as error:
            return Outcome(status=FAILED, error=failure(ErrorCode.REJECTED, self._shown(error)))
        except Exception as error:
            return stopped(self._run, stop.reason) if stop.reason else self._failed(error)

    def _checked(self, context: Context) -> Outcome:
        """What the agent needs is looked at, and the agent is not run."""
        found = checkup.findings(self._run.kind, self._config(), context)
        content = json.dumps(checks.written(found, self._shown), ensure_ascii=False)
        return Outcome(status=COMPLETED, content=content)

    def _message(self) -> str:
        """What the agent is told: its message, with what is known by now."""
        places, message = self._memory.places, self._run.message
        if places is None:
            return message
        values = places.values()
        message = templates.filled_in(message, values)
        if self._run.session_policy is SessionPolicy.LAST_OUTPUT:
            message += _BEFORE.format(values["lastOutput"])
        return message

    def _agent(self) -> Agent:
        kind = cast(type[Agent], kinds.get(self._run.kind))
        return kind(self._config())

    def _config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = kinds.schema(self._run.kind).load(self._run.config)
        return config

    def _context(self, stop: Stop, reporter: Reporter, now: datetime) -> Context:
        run, memory = self._run, self._memory
        named = kinds.secrets(run.kind, self._config())

        def use(usage: Usage, model: str | None = None) -> None:
            reporter.use(usage, self._model(model))

        def report(type: str, data: Mapping[str, Any]) -> None:
            reporter.report(type, self._redactor.tree(data))

        return Context(
            run_id=run.id,
            agent_id=run.agent_id,
            session_id=run.session_id,
            attempt=run.attempt,
            deadline=now + timedelta(seconds=run.timeout_seconds),
            stop=stop,
            report=report,
            use=use,
            keep=lambda state: reporter.keep(self._kept(state)),
            kept=memory.kept,
            answers={id: Answer(**answer) for id, answer in memory.answers.items()},
            history=memory.history,
            denies=run.approval_policy is ApprovalPolicy.DENY,
            schedule_id=run.schedule_id,
            scheduled_for=run.scheduled_for,
            previous_success=run.previous_success,
            output_limit=self._settings.output_limit,
            environment=self._settings.agent_environment,
            secrets={name: each for name, each in self._settings.secrets.items() if name in named},
            allow_private_addresses=self._settings.allow_private_addresses,
        )

    def _completed(self, result: Result) -> Verdict:
        return Outcome(
            status=COMPLETED,
            content=cap(self._redactor.text(result.content), self._settings.output_limit),
            model=self._model(result.model),
            metadata=storable(self._redactor.tree(result.metadata)),
            history=self._remembered(result.history),
        )

    def _model(self, name: str | None) -> str | None:
        return name and cap(self._redactor.text(name), _LONGEST_MODEL)

    def _remembered(self, history: str | None) -> str | None:
        if history is None or len(history) <= conversations.MOST_KEPT:
            return history and self._kept(history)
        logger.warning("run %s: what its session was to remember is too long", self._run.id)
        return None

    def _kept(self, text: str) -> str:
        """A state or a history as it may be kept; one that is JSON stays JSON."""
        if self._redactor.text(text) != text:
            try:
                text = json.dumps(self._redactor.tree(json.loads(text)), ensure_ascii=False)
            except ValueError:
                text = self._redactor.text(text)
        return UNSTORABLE.sub(UNFIT, text)

    def _paused(self, pause: Pause) -> Verdict:
        asks = [vars(ask) for ask in pause.asks]
        if self._run.approval_policy is ApprovalPolicy.FAIL:
            tools = ", ".join(sorted({ask.tool for ask in pause.asks}))
            says = f"A person would have to answer its call of {tools}; nobody is to be asked."
            error = failure(ErrorCode.APPROVAL_REQUIRED, self._shown(says))
            return Outcome(status=FAILED, error=error)
        return Paused(storable(self._redactor.tree(asks)))

    def _failed(self, error: Exception) -> Verdict:
        if not isinstance(error, AgentError):
            # A fault of the kind, not of what it was told: its author wants to see where.
            where = self._redactor.text(traceback.format_exc())
            logger.error("run %s: its agent raised\n%s", self._run.id, where)
            says = f"{type(error).__name__}: {error}"
            return Outcome(status=FAILED, error=failure(ErrorCode.AGENT_ERROR, self._shown(says)))
        described = failure(error.code, self._shown(error))
        if error.retryable:
            return Retryable(described, error.retry_after)
        return Outcome(status=FAILED, error=described)

    def _shown(self, says: object) -> str:
        return cap(self._redactor.text(str(says)), _LONGEST_ERROR)


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
