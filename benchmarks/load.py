"""A client that asks as fast as it is answered, over connections that are kept, and costs little.

One process and no threads: requests are made beforehand, and of an answer only its status and its
length are looked at. Now and then a connection is renewed, for the server's processes to share
them: left alone, the first that woke up would keep them all. To be called in a fresh process.
"""

import re
import selectors
import socket
import time
from itertools import cycle
from statistics import median, quantiles
from typing import NamedTuple

CONNECTIONS = 16
WARM_UP_SECONDS = 5.0
MEASURED_SECONDS = 10.0
_RENEWED_AFTER = 100

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Load(NamedTuple):
    """How the requests were answered."""

    requests: int
    wrong: int
    per_second: float
    p50_ms: float
    p99_ms: float


def request(method: str, path: str, token: str) -> bytes:
    """A request, as it goes over the wire."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/json\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class _Connection:
    """One of the connections, with what has come of the answer to its latest request."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0
        self.asked_at = 0.0
        self.answer = bytearray()
        self._length = 0

    def ask(self, request: bytes) -> None:
        """Send *request*."""
        self.answer.clear()
        self._length = 0
        self.asked += 1
        self.asked_at = time.perf_counter()
        self.socket.sendall(request)

    def has_all(self) -> bool:
        """Read what has come. Whether it is all of the answer."""
        self.answer += self.socket.recv(1 << 17)
        if not self.answer:
            raise ConnectionError("A kept connection was closed.")
        if not self._length:
            end = self.answer.find(b"\r\n\r\n")
            found = _LENGTH.search(self.answer, 0, end + 2) if end >= 0 else None
            if found:
                self._length = end + 4 + int(found[1])
        return bool(self._length) and len(self.answer) >= self._length


def measure(port: int, requests: list[bytes], status: int) -> Load:
    """Send *requests*, over and over, and expect each to be answered with *status*."""
    selector = selectors.DefaultSelector()
    upcoming = cycle(requests)

    def open_one() -> None:
        connection = _Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.ask(next(upcoming))

    for _ in range(CONNECTIONS):
        open_one()
    begins = time.perf_counter() + WARM_UP_SECONDS
    ends = begins + MEASURED_SECONDS
    expected = f"HTTP/1.1 {status} ".encode()
    took_ms: list[float] = []
    wrong = 0
    now = 0.0
    while now < ends:
        for key, _ in selector.select(10):
            connection: _Connection = key.data
            if not connection.has_all():
                continue
            now = time.perf_counter()
            if now >= begins:
                took_ms.append((now - connection.asked_at) * 1000)
                wrong += not connection.answer.startswith(expected)
            if connection.asked < _RENEWED_AFTER:
                connection.ask(next(upcoming))
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
                open_one()
    *_, p99_ms = quantiles(took_ms, n=100)
    return Load(len(took_ms), wrong, len(took_ms) / MEASURED_SECONDS, median(took_ms), p99_ms)
