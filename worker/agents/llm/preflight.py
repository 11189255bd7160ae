"""What an `llm` agent needs, looked at before a run, all at once; no model is asked anything."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from shared.findings import FAIL, OK, WARN, Finding, count
from worker.agents.llm import known_models, mcp, network, prices
from worker.agents.llm.tools import filled_in
from worker.agents.looks import SECONDS, too_long
from worker.agents.protocol import AgentError, Context


async def looks(config: Mapping[str, Any], context: Context) -> list[Finding]:
    """Whether the model, its price, its tools and their servers are there."""
    return [
        _price(config),
        *await asyncio.gather(
            _bounded("model", SECONDS, known_models.look(config, context)),
            *(
                _bounded(
                    f"mcpServers.{server['name']}", _patience(server), _server(server, context)
                )
                for server in config["mcpServers"]
            ),
            *(
                _bounded(f"tools.{tool['name']}", SECONDS, _tool(tool, context))
                for tool in config["tools"]
            ),
        ),
    ]


def _patience(server: Mapping[str, Any]) -> float:
    """How long *server* may take: a program, to begin with, as long as in a run."""
    return SECONDS if server["argv"] is None else mcp.INIT_SECONDS + SECONDS


async def _bounded(name: str, seconds: float, look: Awaitable[Finding]) -> Finding:
    """What *look* finds within so many *seconds*, or why it finds nothing."""
    try:
        async with asyncio.timeout(seconds):
            return await look
    except TimeoutError:
        return too_long(name, seconds)
    except AgentError as error:
        return Finding(name, FAIL, str(error))
    except httpx2.RequestError as error:
        return Finding(name, FAIL, f"It cannot be reached: {str(error) or type(error).__name__}")
    except httpx2.InvalidURL as error:
        return Finding(name, FAIL, f"It cannot be asked at that URL: {error}.", "Give another.")


def _price(config: Mapping[str, Any]) -> Finding:
    model, limit = config["model"], config["limits"]["costUsd"]
    if config["price"] is not None:
        return Finding("price", OK, f"The agent names the price of {model}.")
    if prices.is_listed(model, config["baseUrl"]):
        return Finding("price", OK, f"The list price of {model} is known.")
    says, cure = f"Nobody knows the price of {model}", "Give its `price`."
    if limit is not None:
        return Finding("price", FAIL, f"{says}, so that limits.costUsd cannot be kept.", cure)
    return Finding(
        "price", WARN, f"{says}: its runs have no cost, and no budget counts them.", cure
    )


async def _server(server: Mapping[str, Any], context: Context) -> Finding:
    name = f"mcpServers.{server['name']}"
    offered = await mcp.tools_of(server, context)
    wanted = {*(server["tools"] or ()), *server["approval"]} - {mcp.ALL}
    missing = sorted(wanted.difference(offered))
    if missing:
        return Finding(
            name,
            FAIL,
            f"The MCP server {server['name']} has no tool {', '.join(missing)}.",
            "Take it out of `tools` and `approval`, or have the server offer it.",
        )
    has = count(len(offered), "tool")
    return Finding(name, OK, f"The MCP server {server['name']} answers, and has {has}.")


async def _tool(tool: Mapping[str, Any], context: Context) -> Finding:
    filled_in(tool, context.secrets)
    url = urlsplit(tool["url"])
    host = url.hostname or ""
    await network.checked(host, url.port or 443, allow_private=context.allow_private_addresses)
    return Finding(f"tools.{tool['name']}", OK, f"{host} leads to where tools may go.")
