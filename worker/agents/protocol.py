"""What a kind of agent is: the whole of what its author has to know.

A kind is a class named in the entry-point group `agent_manager.agents`. It has never heard of
queues or databases: it is given a message and a context, and returns a result or raises.
Importing its module must be cheap, for the API imports it to validate configurations; what is
heavy is imported inside `run`. `contract.py` tries a kind for all of this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Protocol
from uuid import UUID

from marshmallow import Schema

from shared.attempts import Usage as Usage
from shared.findings import Finding as Finding
from shared.states import ErrorCode
from worker.agents.stop import Stop

# (type, data): something that happened, kept as an event of the run; *data* must be JSON.
Report = Callable[[str, Mapping[str, Any]], None]
# Of one attempt; those beyond are dropped, and a longer type is cut.
MOST_EVENTS = 1000
LONGEST_EVENT_TYPE = 64
# The state to go on from, should this attempt not come to its end; False: it is too large. It is
# given back without the secrets that were in it. With it goes what was used up by then, which
# counts even if the worker dies.
Keep = Callable[[str], bool]


class Use(Protocol):
    """Counts what was used up, of that *model*, however the attempt ends."""

    def __call__(self, usage: Usage, model: str | None = None) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person answered: whether it may, and what else there is to say to that.

    To a question, `says` is the answer; where it is not `approved`, none is given.
    """

    approved: bool
    says: str | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """One attempt at one run, as its agent sees it."""

    run_id: UUID
    agent_id: str
    attempt: int
    deadline: datetime
    stop: Stop
    report: Report
    use: Use
    keep: Keep
    # The conversation that the run is part of.
    session_id: UUID
    schedule_id: UUID | None = None
    scheduled_for: datetime | None = None
    previous_success: datetime | None = None
    # What an earlier attempt kept, to go on from there.
    kept: str | None = None
    # The answers to what that asked a person, by the ids of what it asked.
    answers: Mapping[str, Answer] = field(default_factory=dict)
    # Whether nobody is to be asked: what takes approval is denied, no question is answered, and the
    # agent goes on.
    denies: bool = False
    # What was said before in its session; None: that does not remember anything.
    history: str | None = None
    # At most so many bytes of output are kept (see `worker.agents.output`).
    output_limit: int = 1024 * 1024
    # Everything of the worker's environment that an agent may see.
    environment: Mapping[str, str] = field(default_factory=dict)
    # What `${secret:NAME}` in a configuration stands for.
    secrets: Mapping[str, str] = field(default_factory=dict)
    # Whether `http` may reach addresses that are not public.
    allow_private_addresses: bool = False


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Something that a person is to decide before the agent goes on: may it call that tool?

    With a *question*, it wants to be told the answer to that.
    """

    id: str
    tool: str
    arguments: Mapping[str, Any]
    question: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pause:
    """The agent waits for a person. What it has kept is given to the attempt that goes on."""

    asks: Sequence[Ask]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an agent answered, and what it used up, as far as it has not told that already."""

    content: str
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    # What was said by now, for the next run of the same session, without the secrets in it. More
    # than 4 million characters are not remembered.
    history: str | None = None

    def usage(self) -> Usage:
        """What it used up."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd,
        )


class AgentError(Exception):
    """The agent failed, and its text says why.

    *retryable*: the same attempt may well succeed later, and not before *retry_after* has passed,
    where that is known. *code* is what the run's record shows.
    """

    def __init__(
        self,
        says: str,
        *,
        retryable: bool = False,
        retry_after: timedelta = timedelta(),
        code: ErrorCode = ErrorCode.AGENT_ERROR,
    ) -> None:
        super().__init__(says)
        self.retryable = retryable
        self.retry_after = retry_after
        self.code = code


class Stopped(Exception):
    """The agent has stopped because its context's `stop` was set."""


class Agent(Protocol):
    """A kind of agent, bound to one valid configuration."""

    #: Validates `config`, unknown keys refused; its keys are camelCase, as on the wire.
    config_schema: ClassVar[type[Schema]]
    #: Runs code of the configuration's choosing on the worker: only an admin may create it.
    admin_only: ClassVar[bool]
    # A kind may have more: `converses: ClassVar[bool]`, if it keeps a state, asks people or
    # remembers earlier runs; `takes_admin(config)`, if that depends on the configuration, which is
    # as it was written; `secrets(config)`, the names of secrets that it wants beside those that
    # have placeholders; `preload()`, called when a worker starts that may have to run it; and
    # `check(context) -> list[Finding]`, a look at whether a run could go well: within some seconds
    # it says of each thing that a run needs whether that is there, and neither does nor costs
    # anything (`worker.agents.looks`).

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take a configuration as `config_schema` loaded it."""

    def run(self, message: str, context: Context) -> Result | Pause:
        """Answer *message*, or ask a person first.

        Raises `AgentError`, or `Stopped` soon after `context.stop` is set.
        """
