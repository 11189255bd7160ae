"""The kind that asks a model, with tools, within limits."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from marshmallow import Schema

from shared.states import ErrorCode
from worker.agents.llm import loop
from worker.agents.llm.schema import PROVIDERS, LlmSchema, provider_of
from worker.agents.protocol import AgentError, Context, Pause, Result


class LlmAgent:
    """Tells a model its message; what the model answers is the answer."""

    config_schema: ClassVar[type[Schema]] = LlmSchema
    admin_only: ClassVar[bool] = False
    converses: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    @staticmethod
    def takes_admin(config: Mapping[str, Any]) -> bool:
        """Whether the worker is to start programs: those of MCP servers."""
        servers = config.get("mcpServers")
        # Nobody has checked it yet.
        return isinstance(servers, list) and any(
            isinstance(server, Mapping) and server.get("argv") is not None for server in servers
        )

    @staticmethod
    def secrets(config: Mapping[str, Any]) -> list[str]:
        """The key of its provider, where it names no other."""
        name = PROVIDERS[provider_of(config["model"])]
        return [] if name is None or config["baseUrl"] or config["apiKey"] else [name]

    @staticmethod
    def preload() -> None:
        """Import what takes seconds; where it is not installed, each run says so."""
        with suppress(AgentError):
            _conversation()

    def run(self, message: str, context: Context) -> Result | Pause:
        """Answer *message* with what the model answers."""
        hold = _conversation().hold(message, self._config, context)
        came: Result | Pause = loop.run(hold, context.stop)
        return came


def _conversation() -> Any:
    try:
        from worker.agents.llm import conversation
    except ImportError as error:
        raise AgentError(
            f"This worker cannot ask models: it lacks {error.name}."
            " Install the extra `llm`: pip install 'agent-manager[llm]'.",
            code=ErrorCode.REJECTED,
        ) from None
    return conversation
