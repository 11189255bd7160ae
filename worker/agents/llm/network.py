"""The HTTP client of all models and tools: to addresses that were checked, within bounds."""

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import AsyncIterator, Mapping
from functools import cache
from math import inf
from typing import Any

import httpx2

from worker.agents.addresses import is_public
from worker.agents.http_schema import CHARSET
from worker.agents.protocol import Context

_CONNECT_SECONDS = 10.0
# Of all runs of a process; who waits for one of them waits as if for an answer.
_MOST_CONNECTIONS = 1000
_KEPT_ALIVE = 100
# Of the output's limit: JSON and its framing take more bytes than what is in it.
_MOST_READ, _LEAST_READ = 8, 1024 * 1024
# Whoever is to come again later than that has the attempt put off, and keeps no thread meanwhile.
_LONGEST_WAIT_SECONDS = 30

# What is written by the libraries that we ask models and tools with could show a secret, or be
# anything that one of these has said.
for _name in (
    *("anthropic", "google", "google_genai", "openai"),
    *("client", "fastmcp", "httpcore2", "httpx2", "mcp"),
):
    _logger = logging.getLogger(_name)
    _logger.setLevel(logging.CRITICAL + 1)
    # The level is set anew by those that are imported later, where OPENAI_LOG and the like say so.
    _logger.addHandler(logging.NullHandler())
    _logger.propagate = False


class Refused(httpx2.TransportError):
    """An address that may not be reached, or an answer that is not read to its end."""


def client(context: Context) -> httpx2.AsyncClient:
    """The client that all runs of this process share.

    How long an answer may take is the run's affair.
    """
    return _shared(context.allow_private_addresses, most_read(context))


def make_client(context: Context, **options: Any) -> httpx2.AsyncClient:
    """A client of its own, with those *options* of `httpx2.AsyncClient`."""
    return _made(context.allow_private_addresses, most_read(context), **options)


def most_read(context: Context) -> int:
    """So many bytes of one answer are read."""
    return max(_MOST_READ * context.output_limit, _LEAST_READ)


@cache
def _shared(allow_private: bool, most: int) -> httpx2.AsyncClient:
    return _made(allow_private, most, timeout=None)


def _made(allow_private: bool, most: int, **options: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        **options,
        transport=GuardedTransport(allow_private=allow_private, most=most),
        # Where that led, nobody would have checked.
        follow_redirects=False,
        trust_env=False,
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Checks where a name leads, and connects to what was checked (after `addresses.resolve`)."""

    def __init__(self, *, allow_private: bool, most: int) -> None:
        self._allow_private = allow_private
        self._most = most
        limits = httpx2.Limits(
            max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_KEPT_ALIVE
        )
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request*. Raises `Refused`, or another `httpx2.TransportError`."""
        host = request.url.host
        addresses = await checked(host, request.url.port or 443, allow_private=self._allow_private)
        # What is packed could become a thousand times as much.
        request.headers["Accept-Encoding"] = "identity"
        request.headers.setdefault("Host", request.url.netloc.decode())
        request.extensions = {
            **request.extensions,
            "sni_hostname": host,
            "timeout": _connecting_soon(request.extensions.get("timeout", {})),
        }
        response = await self._answered(request, addresses)
        # Of one agent's they would be sent along with another's requests.
        response.headers.pop("Set-Cookie", None)
        _plainly(response.headers)
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            await response.aclose()
            raise Refused(f"{host} answered in {encoding}, which it was not asked for.")
        after = response.headers.get("Retry-After", "")
        if after.isdecimal() and int(after[:9]) > _LONGEST_WAIT_SECONDS:
            # To the SDKs of models.
            response.headers["x-should-retry"] = "false"
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._most, host)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _answered(self, request: httpx2.Request, addresses: list[str]) -> httpx2.Response:
        """What the first of *addresses* answers to which there is a connection."""
        *others, last = addresses
        for address in others:
            request.url = request.url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except httpx2.ConnectError:
                continue
        request.url = request.url.copy_with(host=last)
        return await self._inner.handle_async_request(request)


async def checked(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Where *host* leads. Raises `Refused` if any of it is out of bounds, or `ConnectError`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name"
        raise httpx2.ConnectError(f"{host} could not be resolved: {reason}.") from None
    addresses = [str(at[0]) for *_, at in found]
    for address in addresses:
        if not allow_private and not is_public(ipaddress.ip_address(address)):
            raise Refused(
                f"{host} leads to {address}, which is not on the public internet;"
                " AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES=true for workers allows that."
            )
    return addresses


def _plainly(headers: httpx2.Headers) -> None:
    """Have a text be decoded as what it says only where that takes no longer than it should."""
    kind, _, parameters = headers.get("Content-Type", "").partition(";")
    charset = re.search(r"charset=[\"']?([^\"';\s]+)", parameters, re.IGNORECASE)
    if charset is not None and not CHARSET.match(charset[1].lower()):
        headers["Content-Type"] = f"{kind}; charset=utf-8"


def _connecting_soon(timeout: Mapping[str, float | None]) -> dict[str, float | None]:
    """*timeout*, where whoever asks may wait for an answer for ever, but not for a connection."""
    return {**timeout, "connect": min(timeout.get("connect") or inf, _CONNECT_SECONDS)}


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int, host: str) -> None:
        self._inner, self._most, self._host = inner, most, host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived = 0
        async for chunk in self._inner:
            arrived += len(chunk)
            if arrived > self._most:
                raise Refused(f"{self._host} answered with more than {self._most:,} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
