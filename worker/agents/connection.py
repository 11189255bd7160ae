"""One HTTP exchange: over an address that was checked first, and cut off at once by a stop."""

import errno
import http.client
import os
import selectors
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from urllib.parse import SplitResult

from worker.agents import addresses
from worker.agents.addresses import Address
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop

# For the connection and its handshake only: how long an answer may take is the run's affair.
CONNECT_SECONDS = 10.0
CHUNK = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was answered; *whole* unless its body was longer than we would read."""

    status: int
    reason: str
    headers: Message
    body: bytes
    whole: bool


def exchange(request: Request, *, most: int, allow_private: bool, stop: Stop) -> Answer:
    """Send *request*, read at most *most* bytes of the body. Raises `AgentError` or `Stopped`."""
    with _connection(request.url, allow_private, stop) as sock:
        return _talk(sock, request, most)


def reach(url: SplitResult, *, allow_private: bool, stop: Stop) -> None:
    """Connect to where *url* leads, and send nothing. Raises `AgentError` or `Stopped`."""
    with _connection(url, allow_private, stop):
        pass


def _place(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


@contextmanager
def _connection(url: SplitResult, allow_private: bool, stop: Stop) -> Iterator[socket.socket]:
    """A connection to where *url* leads, within which what goes wrong is an `AgentError`."""
    found = addresses.resolve(*_place(url), allow_private=allow_private, stop=stop)
    try:
        with _connected(found, stop) as plain, _cut_off(plain, stop), _secured(plain, url) as sock:
            yield sock
    except (OSError, http.client.HTTPException) as error:
        if stop.is_set():
            raise Stopped from None
        raise _explained(error, f"{url.scheme}://{url.netloc}") from None
    # A connection that was cut off looks like one that has come to its end.
    if stop.is_set():
        raise Stopped


@contextmanager
def _connected(found: list[Address], stop: Stop) -> Iterator[socket.socket]:
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "it has no address")
    for address in found:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            _connect(sock, address, stop)
        except OSError as error:
            failure = error
            sock.close()
            continue
        except BaseException:
            sock.close()
            raise
        # The body is sent after the headers; it need not wait until they have arrived.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Long silences are usual while a model thinks; a peer that has vanished is not one.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        with sock:
            yield sock
        return
    raise failure


def _connect(sock: socket.socket, address: Address, stop: Stop) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address.at)
    if code == errno.EINPROGRESS:
        with stop.readable() as stopped, selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            selector.register(stopped, selectors.EVENT_READ)
            if not selector.select(CONNECT_SECONDS):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if stop.is_set():
            raise Stopped
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code != 0:
        raise OSError(code, os.strerror(code))


@contextmanager
def _cut_off(sock: socket.socket, stop: Stop) -> Iterator[None]:
    """Within the block, a stop ends whatever is waiting for *sock*, or for TLS on top of it."""
    # TLS takes the descriptor away from its socket; a second one stays ours.
    with sock.dup() as handle:

        def shut_down() -> None:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        with stop.calling(shut_down):
            yield


@contextmanager
def _secured(plain: socket.socket, url: SplitResult) -> Iterator[socket.socket]:
    plain.settimeout(CONNECT_SECONDS)
    if url.scheme == "http":
        plain.settimeout(None)
        yield plain
        return
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    with context.wrap_socket(plain, server_hostname=url.hostname) as secure:
        secure.settimeout(None)
        yield secure


def _talk(sock: socket.socket, request: Request, most: int) -> Answer:
    connection = http.client.HTTPConnection(*_place(request.url))
    connection.sock = sock
    path = request.url.path or "/"
    target = f"{path}?{request.url.query}" if request.url.query else path
    headers = {
        "Host": request.url.netloc,
        "Connection": "close",
        "Accept-Encoding": "identity",
        **request.headers,
    }
    # A server may answer, "too large" for one, before it has read everything.
    with suppress(BrokenPipeError):
        connection.request(request.method, target, body=request.body, headers=headers)
    with closing(connection.getresponse()) as response:
        body, whole = _read(response, most)
        return Answer(
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            body=body,
            whole=whole,
        )


def _read(response: http.client.HTTPResponse, most: int) -> tuple[bytes, bool]:
    """The body, and whether it is all of it."""
    # With chunks, only `read1` keeps within bounds whatever size the server claims for one;
    # without, only `read` counts down to the length that was announced.
    read = response.read1 if response.chunked else response.read
    body = bytearray()
    while len(body) <= most:
        chunk = read(CHUNK)
        if not chunk:
            break
        body += chunk
    else:
        return bytes(body[:most]), False
    if not response.chunked and response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(body), True


def _explained(error: OSError | http.client.HTTPException, origin: str) -> AgentError:
    match error:
        case ssl.SSLCertVerificationError():
            return AgentError(f"The certificate of {origin} is not good: {error.verify_message}.")
        case http.client.IncompleteRead() | ConnectionResetError() | BrokenPipeError():
            return AgentError(f"{origin} hung up before its answer was complete.", retryable=True)
        case http.client.HTTPException():
            name = type(error).__name__
            return AgentError(f"{origin} did not answer in HTTP: {name}.", retryable=True)
        case TimeoutError():
            return AgentError(f"{origin} could not be reached in time.", retryable=True)
        case _:
            reason = error.strerror or type(error).__name__
            return AgentError(f"{origin} could not be reached: {reason}.", retryable=True)
