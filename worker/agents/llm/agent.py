"""The kind that asks a model, with tools, within limits."""

import gc
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any, ClassVar

from marshmallow import Schema

from shared.findings import FAIL
from shared.states import ErrorCode
from worker.agents.llm import loop
from worker.agents.llm.schema import PROVIDERS, LlmSchema, provider_of
from worker.agents.protocol import AgentError, Context, Finding, Pause, Result


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
            _module("conversation")

    def run(self, message: str, context: Context) -> Result | Pause:
        """Answer *message* with what the model answers."""
        hold = _module("conversation").hold(message, self._config, context)
        came: Result | Pause = loop.run(hold, context.stop)
        return came

    def check(self, context: Context) -> list[Finding]:
        """Whether its model, its tools and their servers are there; nothing is asked of them."""
        try:
            looks = _module("preflight").looks(self._config, context)
        except AgentError as error:
            return [Finding("extra", FAIL, str(error))]
        found: list[Finding] = loop.run(looks, context.stop)
        return found


def _module(name: str) -> Any:
    """The module of that name, one of those that need the extra. Raises `AgentError`."""
    try:
        with _importing:
            _import()
    except ImportError as error:
        raise AgentError(
            f"This worker cannot ask models: it lacks {error.name}."
            " Install the extra `llm`: pip install 'agent-manager[llm]'.",
            code=ErrorCode.REJECTED,
        ) from None
    return import_module(f"{__package__}.{name}")


_importing = Lock()
_NEEDED = ("conversation", "preflight")


@cache
def _import() -> None:
    """Import all that needs the extra, and have the collector of garbage leave it alone.

    It stays: to look through all of it, again and again, takes a third of the time of runs.
    """
    for name in _NEEDED:
        import_module(f"{__package__}.{name}")
    gc.collect()
    gc.freeze()
