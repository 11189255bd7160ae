"""A client that asks as fast as it is answered, over connections that are kept, and costs little.

One process and no threads: requests are made beforehand, and of an answer only its status and its
length are looked at. To be called in a fresh process.
"""

import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import NamedTuple

CONNECTIONS = 16
WARM_UP_SECONDS = 5.0
MEASURED_SECONDS = 10.0

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


@dataclass
class _Connection:
    socket: socket.socket
    asked_at: float = 0.0
    answer: bytearray = field(default_factory=bytearray)
    length: int = 0

    def ask(self, request: bytes) -> None:
        self.answer.clear()
        self.length = 0
        self.asked_at = time.perf_counter()
        self.socket.sendall(request)

    def has_all(self) -> bool:
        """Read what has come. Whether it is all of the answer."""
        self.answer += self.socket.recv(1 << 17)
        if not self.answer:
            raise ConnectionError("A kept connection was closed.")
        if not self.length:
            end = self.answer.find(b"\r\n\r\n")
            found = _LENGTH.search(self.answer, 0, end + 2) if end >= 0 else None
            if found:
                self.length = end + 4 + int(found[1])
        return bool(self.length) and len(self.answer) >= self.length


def measure(port: int, requests: list[bytes], status: int) -> Load:
    """Send *requests*, over and over, and expect each to be answered with *status*."""
    selector = selectors.DefaultSelector()
    asked = 0
    for _ in range(CONNECTIONS):
        connection = _Connection(socket.create_connection(("127.0.0.1", port)))
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.ask(requests[asked % len(requests)])
        asked += 1
        time.sleep(0.02)  # One after the other, or one server process may take them all.
    begins = time.perf_counter() + WARM_UP_SECONDS
    ends = begins + MEASURED_SECONDS
    expected = f"HTTP/1.1 {status} ".encode()
    took_ms: list[float] = []
    wrong = 0
    now = 0.0
    while now < ends:
        for key, _ in selector.select(10):
            connection = key.data
            if not connection.has_all():
                continue
            now = time.perf_counter()
            if now >= begins:
                took_ms.append((now - connection.asked_at) * 1000)
                wrong += not connection.answer.startswith(expected)
            connection.ask(requests[asked % len(requests)])
            asked += 1
    percentiles = quantiles(took_ms, n=100)
    return Load(
        len(took_ms), wrong, len(took_ms) / MEASURED_SECONDS, percentiles[49], percentiles[98]
    )
