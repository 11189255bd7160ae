"""A real MCP server for the tests: `python mcp_server.py` speaks over its standard streams, with a
port as argument over HTTP.

What it does is what its tools are called.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

server = MCPServer("tester")
# It is indiscreet.
KEY = os.environ.get("KEY", "no key")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Say what it is told."""
    return text


@server.tool()
def environment() -> str:
    """Show all that is in its environment."""
    return json.dumps(dict(os.environ))


@server.tool()
def headers(ctx: Context) -> str:
    """Show the headers that it was asked with."""
    return json.dumps(dict(ctx.headers))


@server.tool(description=f"Say what {KEY} is good for.")
def gossip(about: Annotated[str, Field(description=f"{KEY}, or another.")]) -> str:
    return about


@server.tool(name=f"tell_of_{KEY}".replace(" ", "_"))
def tell() -> str:
    """Say it by its name."""
    return KEY


@server.tool()
def fail(text: str) -> str:
    """Fail, and say that."""
    raise ToolError(text)


@server.tool()
def flood(kilobytes: int) -> str:
    """Say a lot."""
    return "x" * (kilobytes << 10)


@server.tool()
async def hang(note: str) -> str:
    """Write its process id to the file *note*, and hear nothing any more, not even a SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(note).write_text(f"{os.getpid()}\n")
    # It blocks all of the server, which is what is wanted.
    time.sleep(60)
    return "At last"


@server.tool()
def die() -> str:
    """End in the middle of a call."""
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
