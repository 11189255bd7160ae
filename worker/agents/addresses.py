"""Which addresses an agent may reach: those of the public internet."""

import ipaddress
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from shared.states import ErrorCode
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
SocketAddress = tuple[str, int] | tuple[str, int, int, int]

# What `ipaddress` calls global, in some version of Python or in all, and what leads inside.
INSIDE_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "192.0.0.0/24",  # Protocol assignments; one of them is Oracle's metadata service.
        "192.88.99.0/24",  # Relays to 6to4.
        "168.63.129.16/32",  # Azure's metadata service.
    )
]
OUTSIDE_V6 = ipaddress.IPv6Network("2000::/3")
INSIDE_V6 = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Protocol assignments; Teredo, which wraps an IPv4 address, is one.
        "2001:db8::/32",
        "2002::/16",  # 6to4 wraps an IPv4 address too.
        "3fff::/20",
    )
]
# An address here is only another spelling of the IPv4 address in its last four bytes.
SPELLINGS_OF_V4 = [
    ipaddress.IPv6Network("::ffff:0:0/96"),
    ipaddress.IPv6Network("64:ff9b::/96"),
]


@dataclass(frozen=True)
class Address:
    """Where a name leads, as a socket wants it."""

    family: socket.AddressFamily
    at: SocketAddress


def is_public(address: IpAddress) -> bool:
    """Whether *address* belongs to one machine, somewhere on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in INSIDE_V4)
        )
    if any(address in network for network in SPELLINGS_OF_V4):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in OUTSIDE_V6 and not any(address in network for network in INSIDE_V6)


def resolve(host: str, port: int, *, allow_private: bool, stop: Stop) -> list[Address]:
    """Where *host* leads. Raises `AgentError` if any of it is out of bounds, or `Stopped`."""
    found = _look_up(host, port, stop)
    if not allow_private:
        for address in found:
            if not is_public(ipaddress.ip_address(address.at[0])):
                raise AgentError(
                    f"{host} leads to {address.at[0]}, which is not on the public internet; "
                    "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES=true for workers allows that.",
                    code=ErrorCode.REJECTED,
                )
    return found


def _look_up(host: str, port: int, stop: Stop) -> list[Address]:
    """Ask the system's resolver, which cannot be interrupted, in a thread that can be left."""
    answer: Future[list[Address]] = Future()
    settled = threading.Event()
    answer.add_done_callback(lambda _: settled.set())
    threading.Thread(target=_ask, args=(host, port, answer), daemon=True).start()
    with stop.calling(settled.set):
        settled.wait()
    if stop.is_set():
        raise Stopped
    try:
        return answer.result()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name"
        raise AgentError(f"{host} could not be resolved: {reason}.", retryable=True) from None


def _ask(host: str, port: int, answer: Future[list[Address]]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:
        answer.set_exception(error)
    else:
        answer.set_result(
            [Address(family, at) for family, _, _, _, at in found if isinstance(at[0], str)]
        )
