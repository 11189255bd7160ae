"""An MCP server that the worker starts: asked over its standard streams, and gone afterwards.

The SDK's own way lets the program see more of the worker's environment than an agent may, reads
lines of any length, takes longer to end it than a stop may take, and logs what it cannot read.
"""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Unpack

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import SessionKwargs, TransportOptions
from mcp import ClientSession
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

# From the end of its input to the polite signal, and from that to the other one.
_GRACE_SECONDS = 0.5
Received = MemoryObjectSendStream[SessionMessage | Exception]
Unsent = MemoryObjectReceiveStream[SessionMessage]


class Program(ClientTransport):
    """Starts *argv* for a session, with *environment* and no more."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], most: int) -> None:
        self._argv, self._environment = argv, environment
        # A message is a line, of so many bytes at most.
        self._most = most

    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,
        **options: Unpack[SessionKwargs],
    ) -> AsyncIterator[ClientSession]:
        """A session with the program, which is gone afterwards."""
        make = (transport_options or TransportOptions()).session_class
        received, reader = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        writer, unsent = anyio.create_memory_object_stream[SessionMessage](0)
        async with self._running() as program, anyio.create_task_group() as tasks:
            tasks.start_soon(_read, program, received)
            tasks.start_soon(_write, program, unsent)
            async with reader, writer, make(reader, writer, **options) as session:
                yield session
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Process]:
        program = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=PIPE,
            stdout=PIPE,
            # What it says there could be anything, and nobody reads it.
            stderr=DEVNULL,
            env=dict(self._environment),
            start_new_session=True,
            limit=self._most,
        )
        try:
            yield program
        finally:
            with anyio.CancelScope(shield=True):
                await _end(program)


async def _read(program: Process, received: Received) -> None:
    """Pass on what the program says, as long as that is lines of a bearable length."""
    assert program.stdout is not None
    async with received:
        # `ValueError`: it is longer.
        with suppress(ValueError, anyio.BrokenResourceError):
            async for line in program.stdout:
                # Many greet the world before they speak the protocol.
                with suppress(ValueError):
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    await received.send(SessionMessage(message))


async def _write(program: Process, unsent: Unsent) -> None:
    assert program.stdin is not None
    async with unsent:
        with suppress(ConnectionError):
            async for each in unsent:
                line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                program.stdin.write(line.encode() + b"\n")
                await program.stdin.drain()


async def _end(program: Process) -> None:
    """End the program and whatever it has started, politely at first."""
    assert program.stdin is not None
    try:
        program.stdin.close()
        if not await _has_ended(program):
            _signal(program, signal.SIGTERM)
            await _has_ended(program)
    finally:
        # What it has started may have outlived it, and hold the other ends of its pipes.
        _signal(program, signal.SIGKILL)
        program._transport.close()  # type: ignore[attr-defined] # asyncio has no other way


async def _has_ended(program: Process) -> bool:
    """Whether it does so within the grace period."""
    with anyio.move_on_after(_GRACE_SECONDS):
        # `wait` would wait for the end of its output as well.
        while program.returncode is None:
            await asyncio.sleep(0.01)
    return program.returncode is not None


def _signal(program: Process, number: signal.Signals) -> None:
    """Signal the whole group, which outlives its leader as long as anything is left of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)
