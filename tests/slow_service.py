"""A service that lets whoever asks wait, however many they are, until it is told to answer."""

import asyncio
import threading
from typing import Self

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 4\r\n\r\ndone"
)
# So many may ask at the same instant.
_BACKLOG = 4096


class SlowService:
    """An HTTP server on one thread. Use it as a context."""

    def __init__(self) -> None:
        #: How many requests wait for their answer, and how many did at most.
        self.waiting = self.most = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow service")
        self._may_answer = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}/"

    def answer(self) -> None:
        """Answer all that wait, and from now on whoever asks."""
        self._loop.call_soon_threadsafe(self._may_answer.set)

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._attend, "127.0.0.1", 0, backlog=_BACKLOG)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self._may_answer.wait()
            writer.write(_ANSWER)
            await writer.drain()
        finally:
            self.waiting -= 1
            writer.close()

    async def _close(self) -> None:
        self._server.close()
        self._may_answer.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
