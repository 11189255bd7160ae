"""What a kind of agent is: the whole of what its author has to know.

A kind is a class named in the entry-point group `agent_manager.agents`. It has never heard of
queues or databases: it is given a message and a context, and returns a result or raises.
Importing its module must be cheap, for the API imports it to validate configurations; what is
heavy is imported inside `run`. `contract.py` tries a kind for all of this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol
from uuid import UUID

from marshmallow import Schema

from shared.states import ErrorCode
from worker.agents.stop import Stop

# (type, data): something that happened, kept as an event of the run; *data* must be JSON.
Report = Callable[[str, Mapping[str, Any]], None]
# Of one attempt; those beyond are dropped, and a longer type is cut.
MOST_EVENTS = 1000
LONGEST_EVENT_TYPE = 64


@dataclass(frozen=True, kw_only=True)
class Context:
    """One attempt at one run, as its agent sees it."""

    run_id: UUID
    agent_id: str
    attempt: int
    deadline: datetime
    stop: Stop
    report: Report
    schedule_id: UUID | None = None
    scheduled_for: datetime | None = None
    previous_success: datetime | None = None
    # At most so many bytes of output are kept (see `worker.agents.output`).
    output_limit: int = 1024 * 1024
    # Everything of the worker's environment that an agent may see.
    environment: Mapping[str, str] = field(default_factory=dict)
    # What `${secret:NAME}` in a configuration stands for.
    secrets: Mapping[str, str] = field(default_factory=dict)
    # Whether `http` may reach addresses that are not public.
    allow_private_addresses: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an agent answered, and what it used up."""

    content: str
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class AgentError(Exception):
    """The agent failed, and its text says why.

    *retryable*: the same attempt may well succeed later. *code* is what the run's record shows.
    """

    def __init__(
        self, says: str, *, retryable: bool = False, code: ErrorCode = ErrorCode.AGENT_ERROR
    ) -> None:
        super().__init__(says)
        self.retryable = retryable
        self.code = code


class Stopped(Exception):
    """The agent has stopped because its context's `stop` was set."""


class Agent(Protocol):
    """A kind of agent, bound to one valid configuration."""

    #: Validates `config`, unknown keys refused; its keys are camelCase, as on the wire.
    config_schema: ClassVar[type[Schema]]
    #: Runs code of the configuration's choosing on the worker: only an admin may create it.
    admin_only: ClassVar[bool]

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take a configuration as `config_schema` loaded it."""

    def run(self, message: str, context: Context) -> Result:
        """Answer *message*. Raises `AgentError`, or `Stopped` soon after `context.stop` is set."""
