"""The kind that does nothing outside: for trying things out without a key."""

from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

from marshmallow import Schema, fields

from worker.agents import config
from worker.agents.output import cap
from worker.agents.protocol import AgentError, Context, Result, Stopped


class EchoSchema(config.ConfigSchema):
    """How slow, unreliable and expensive the agent pretends to be."""

    delaySeconds = config.number(fields.Float, 0, 86_400, load_default=0.0)  # noqa: N815
    failureRate = config.number(fields.Float, 0, 1, load_default=0.0)  # noqa: N815
    retryable = fields.Boolean(
        load_default=False, error_messages=config.says("Give true or false.")
    )
    costUsd = config.number(fields.Decimal, 0, 1_000_000, load_default=None, places=10)  # noqa: N815


class EchoAgent:
    """Answers with its message; counts words for tokens."""

    config_schema: ClassVar[type[Schema]] = EchoSchema
    admin_only: ClassVar[bool] = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._delay_seconds: float = config["delaySeconds"]
        self._failure_rate: float = config["failureRate"]
        self._retryable: bool = config["retryable"]
        self._cost_usd: Decimal | None = config["costUsd"]

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with itself."""
        if context.stop.wait(self._delay_seconds):
            raise Stopped
        if _chance(context.run_id, context.attempt) < self._failure_rate:
            raise AgentError(
                f"The agent failed on purpose, as it does {self._failure_rate:.0%} of the time.",
                retryable=self._retryable,
            )
        words = len(message.split())
        return Result(
            content=cap(message, context.output_limit),
            input_tokens=words,
            output_tokens=words,
            cost_usd=self._cost_usd,
        )


def _chance(run_id: UUID, attempt: int) -> float:
    """A number from 0 to just under 1, always the same for the same attempt."""
    digest = sha256(f"{run_id}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
