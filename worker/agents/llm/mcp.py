"""MCP servers as tools of a model: asked over HTTP, or started as programs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
from fastmcp.client.transports import ClientTransport, StdioTransport, StreamableHttpTransport
from pydantic_ai import RunContext
from pydantic_ai.mcp import CallToolFunc, MCPToolset
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from worker.agents import surroundings
from worker.agents.llm import network
from worker.agents.placeholders import Redactor, expand
from worker.agents.protocol import AgentError, Context

_INIT_SECONDS = 30.0
ALL = "*"


def toolset(server: Mapping[str, Any], context: Context) -> AbstractToolset[None]:
    """The tools of *server*, each named `server_tool`; of them those that are allowed."""
    redactor = Redactor(context.secrets.values())

    async def call(
        run: RunContext[None], call_tool: CallToolFunc, name: str, arguments: dict[str, Any]
    ) -> Any:
        return redactor.tree(await call_tool(name, arguments))

    tools: AbstractToolset[None] = _of(
        server, context, tool_error_behavior="failed", process_tool_call=call
    )
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
            raise _unusable(server["name"], error) from error


def _of(server: Mapping[str, Any], context: Context, **options: Any) -> MCPToolset[None]:
    return MCPToolset(
        _transport(server, context),
        id=server["name"],
        init_timeout=_INIT_SECONDS,
        read_timeout=None,
        **options,
    )


def _is_among(tool: ToolDefinition, names: set[str]) -> bool:
    return ALL in names or tool.name in names


class _Named(WrapperToolset[None]):
    """Says which server it is that cannot be reached."""

    def __init__(self, wrapped: AbstractToolset[None], name: str) -> None:
        super().__init__(wrapped)
        self._name = name

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except Exception as error:
            raise _unusable(self._name, error) from error
        return self


def _unusable(name: str, error: Exception) -> AgentError:
    """What any error of a server comes to: of how many kinds they are, nobody says."""
    return AgentError(f"The MCP server {name} cannot be used: {_said(error)}", retryable=True)


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    cause = error.__cause__
    return str(error) or (_said(cause) if cause else type(error).__name__)


def _transport(server: Mapping[str, Any], context: Context) -> ClientTransport:
    if server["url"] is None:
        program, *arguments = surroundings.guarded(
            server["argv"], dict.fromkeys(surroundings.LIMITS)
        )
        return StdioTransport(
            program,
            arguments,
            env=surroundings.environment(server, context),
            keep_alive=False,
            # What it says there could be anything, and nobody reads it.
            log_file=Path(os.devnull),
        )

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        **_: Any,
    ) -> httpx2.AsyncClient:
        return network.make_client(context, headers=headers, timeout=timeout, auth=auth)

    headers = {name: expand(value, context.secrets) for name, value in server["headers"].items()}
    return StreamableHttpTransport(server["url"], headers=headers, httpx_client_factory=client)
