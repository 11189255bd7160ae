"""A real MCP server over HTTP, in a thread."""

import socket
import threading
from typing import Self

import uvicorn
from mcp.server.mcpserver import MCPServer
from waiting import wait_until


class McpServer:
    """A server with the tools of those names. Use it as a context; `called` are those called."""

    def __init__(self, *tools: str) -> None:
        self.called: list[str] = []
        server = MCPServer("shop")
        for name in tools:
            server.tool(name=name)(self._make(name))
        self._listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            server.streamable_http_app(), log_level="critical", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/mcp"

    def _make(self, name: str):  # type: ignore[no-untyped-def]
        def tool() -> str:
            """Does nothing but say so."""
            self.called.append(name)
            return "done"

        return tool
