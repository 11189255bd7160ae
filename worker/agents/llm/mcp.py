"""MCP servers as tools of a model: asked over HTTP, or started as programs."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self

import httpx2
from fastmcp.client.logging import LogMessage
from fastmcp.client.transports import ClientTransport, StreamableHttpTransport
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED
from pydantic_ai import ModelRetry, RunContext, ToolFailed
from pydantic_ai.mcp import CallToolFunc, MCPToolset
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from shared.states import ErrorCode
from worker.agents import surroundings
from worker.agents.llm import failures, network
from worker.agents.llm.mcp_program import Program
from worker.agents.llm.tools import MOST_TOLD
from worker.agents.output import cap
from worker.agents.placeholders import Redactor, expand
from worker.agents.protocol import AgentError, Context

#: How long a server may take to begin. A program may have to fetch itself at first.
INIT_SECONDS = 60.0
ALL = "*"


def toolset(
    server: Mapping[str, Any], context: Context, turns: asyncio.Semaphore
) -> AbstractToolset[None]:
    """The tools of *server*, each named `server_tool`; of them those that are allowed.

    They take *turns* with the other tools of their run.
    """
    redactor = Redactor(context.secrets.values())
    calls = _Calls(server["name"], redactor, turns)
    tools: AbstractToolset[None] = _of(
        server, context, tool_error_behavior="failed", process_tool_call=calls
    ).prepared(partial(_offered, redactor))
    allowed, asks = server["tools"], set(server["approval"])
    if allowed is not None:
        tools = tools.filtered(lambda _, tool: tool.name in allowed)
    if asks:
        tools = tools.approval_required(lambda _, tool, __: _is_among(tool, asks))
    return _Named(tools.prefixed(server["name"]), server["name"])


async def tools_of(server: Mapping[str, Any], context: Context) -> list[str]:
    """The names of all tools of *server*. Raises `AgentError`."""
    tools = _of(server, context)
    async with _Named(tools, server["name"]):
        try:
            return [tool.name for tool in await tools.list_tools()]
        except Exception as error:
            raise _broken(server["name"], error) from error


def _of(server: Mapping[str, Any], context: Context, **options: Any) -> MCPToolset[None]:
    return MCPToolset(
        _transport(server, context),
        id=server["name"],
        log_handler=_unheard,
        init_timeout=INIT_SECONDS,
        read_timeout=None,
        **options,
    )


def _offered(
    redactor: Redactor, _: RunContext[None], tools: list[ToolDefinition]
) -> list[ToolDefinition]:
    """*tools* as a model gets to see them; one in whose very name a secret shows it does not."""
    return [
        replace(
            tool,
            description=redactor.tree(tool.description),
            parameters_json_schema=redactor.tree(tool.parameters_json_schema),
            return_schema=redactor.tree(tool.return_schema),
        )
        for tool in tools
        if redactor.text(tool.name) == tool.name
    ]


def _is_among(tool: ToolDefinition, names: set[str]) -> bool:
    return ALL in names or tool.name in names


class _Calls:
    """Makes the calls of a server's tools; of what they answer, the model sees no secret."""

    def __init__(self, server: str, redactor: Redactor, turns: asyncio.Semaphore) -> None:
        self._server = server
        self._redactor = redactor
        self._turns = turns

    async def __call__(
        self, run: RunContext[None], call: CallToolFunc, name: str, arguments: dict[str, Any]
    ) -> Any:
        """What the tool answers. Raises `AgentError` if its server is gone."""
        try:
            async with self._turns:
                return self._shown(await call(name, arguments))
        except ToolFailed as error:
            raise ToolFailed(self._shown(error.message)) from None
        except ModelRetry as error:
            says, cause = self._shown(error.message), error.__cause__
            if isinstance(cause, MCPError) and cause.code == CONNECTION_CLOSED:
                raise _broken(self._server, cause) from error
            raise ModelRetry(says) from None
        except Exception as error:
            # Of how many kinds they are, nobody says.
            raise _broken(self._server, error) from error

    def _shown(self, came: Any) -> Any:
        clean = self._redactor.tree(came)
        try:
            text = clean if isinstance(clean, str) else json.dumps(clean, ensure_ascii=False)
        except TypeError:  # A picture, for one.
            return clean
        return clean if len(text) <= MOST_TOLD else cap(text, MOST_TOLD)


class _Named(WrapperToolset[None]):
    """Says which server it is that cannot be reached, and nothing of how it is left."""

    def __init__(self, wrapped: AbstractToolset[None], name: str) -> None:
        super().__init__(wrapped)
        self._name = name

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except Exception as error:
            raise _broken(self._name, error) from error
        return self

    async def __aexit__(self, *details: Any) -> None:
        # Whatever it was asked has been answered, or has failed and says so: that its connection
        # cannot be closed as it should be changes nothing.
        with suppress(Exception):
            await super().__aexit__(*details)


def _broken(server: str, error: BaseException) -> AgentError:
    """What to say of a server that does not do as it should, which *error* tells."""
    causes = list(failures.causes(error))
    refused = [each for each in causes if isinstance(each, network.Refused)]
    plain = [each for each in causes if not isinstance(each, BaseExceptionGroup) and str(each)]
    says = str((refused or plain or [type(error).__name__])[0])
    return AgentError(
        f"The MCP server {server} cannot be used: {says}",
        retryable=not refused,
        code=ErrorCode.REJECTED if refused else ErrorCode.AGENT_ERROR,
    )


async def _unheard(message: LogMessage) -> None:
    """What a server logs could be anything, and nobody reads it."""


def _transport(server: Mapping[str, Any], context: Context) -> ClientTransport:
    if server["url"] is None:
        argv = surroundings.guarded(server["argv"], dict.fromkeys(surroundings.LIMITS))
        environment = surroundings.environment(server, context)
        return Program(argv, environment, network.most_read(context))

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        **_: Any,
    ) -> httpx2.AsyncClient:
        return network.make_client(context, headers=headers, timeout=timeout, auth=auth)

    headers = {name: expand(value, context.secrets) for name, value in server["headers"].items()}
    return StreamableHttpTransport(server["url"], headers=headers, httpx_client_factory=client)
