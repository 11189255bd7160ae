"""A proxy between our processes and a server, which breaks the connections on purpose."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Address = str | tuple[str, int]

_CHUNK = 65_536


class Proxy:
    """Listens on a port of this host and passes on to *upstream*: a Unix socket's path, or an
    address. Use it as a context.
    """

    def __init__(self, upstream: Address) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._links: set[_Link] = set()
        self._stranded: set[_Link] = set()
        self._stalled = self._refusing = self._closed = False
        self._latency = 0.0
        self._swallow: tuple[bytes, int] = (b"", 0)
        #: How many answers have been swallowed, and how much was held back.
        self.swallowed = self.held = 0

    @property
    def redis_url(self) -> str:
        """What `REDIS_URL` says to go through it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def postgres_url(self, database: str) -> str:
        """What `DATABASE_URL` says to go through it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._stalled = False
            self._stranded.clear()
            self._changed.notify_all()
        # Closing alone would not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        self.cut()

    def heal(self) -> None:
        """Pass everything on again."""
        with self._changed:
            self._stalled = self._refusing = False
            self._stranded.clear()
            self._latency = 0.0
            self._swallow = (b"", 0)
            self._changed.notify_all()

    def stall(self) -> None:
        """Pass nothing on, and keep all connections: as a network that swallows packets."""
        with self._changed:
            self._stalled = True

    def strand(self) -> None:
        """Pass nothing on of the connections that there are, and keep them; new ones work."""
        with self._changed:
            self._stranded |= self._links

    def delay(self, seconds: float) -> None:
        """Pass everything on so much later, in both directions."""
        with self._changed:
            self._latency = seconds

    def cut(self) -> None:
        """End all connections, and let new ones through."""
        with self._changed:
            links, self._links = self._links, set()
            self._stranded.clear()
            self._changed.notify_all()
        for link in links:
            link.end()

    def refuse(self) -> None:
        """End all connections, and each new one at once."""
        with self._changed:
            self._refusing = True
        self.cut()

    def swallow(self, pattern: bytes, times: int = 1) -> None:
        """Of the next so many requests with *pattern* in them, drop the answer and end the link.

        The server has carried them out, and nobody is told.
        """
        with self._changed:
            self._swallow = (pattern, times)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self._closed:
                    client.close()
                    return
                refusing = self._refusing
            server = None if refusing else self._connect()
            if server is None:
                client.close()
                continue
            link = _Link(client, server, self)
            with self._changed:
                self._links.add(link)
            link.start()

    def _connect(self) -> socket.socket | None:
        """A connection to the server; None if that is not there."""
        family = socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            server.connect(self._upstream)
        except OSError:
            server.close()
            return None
        return server

    def wait_for_way(self, link: "_Link") -> None:
        """Wait until something of *link* may be passed on."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, self._latency)
            self.held += self._stalled or link in self._stranded
            self._changed.wait_for(lambda: not self._stalled and link not in self._stranded)

    def is_to_swallow(self, request: bytes) -> bool:
        """Whether the answer to *request* is to be dropped; each is asked about once."""
        with self._changed:
            pattern, times = self._swallow
            if not times or pattern not in request:
                return False
            self._swallow = (pattern, times - 1)
            self.swallowed += 1
            return True

    def forget(self, link: "_Link") -> None:
        """Drop a link that has ended."""
        with self._changed:
            self._links.discard(link)
            self._stranded.discard(link)


class _Link:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self._client, self._server, self._proxy = client, server, proxy
        self._swallowing = False
        self._ended = threading.Lock()
        self._threads = [
            threading.Thread(target=self._pump, args=(client, server, self._ask), daemon=True),
            threading.Thread(target=self._pump, args=(server, client, self._answer), daemon=True),
        ]

    def start(self) -> None:
        """Pass on from now on."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End both connections."""
        if not self._ended.acquire(blocking=False):
            return
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10)
        for end in (self._client, self._server):
            end.close()

    def _pump(
        self, source: socket.socket, sink: socket.socket, on: Callable[[bytes], bool]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._proxy.wait_for_way(self)
                if not on(data):
                    break
                sink.sendall(data)
        self._proxy.forget(self)
        self.end()

    def _ask(self, request: bytes) -> bool:
        if self._proxy.is_to_swallow(request):
            self._swallowing = True
        return True

    def _answer(self, _: bytes) -> bool:
        return not self._swallowing
