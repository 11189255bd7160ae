import ipaddress
import socket
import threading

import pytest

from shared.states import ErrorCode
from worker.agents.addresses import is_public, resolve
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop, StopReason


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82a::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_the_internet_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "100::1",
        "2001::7f00:1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_everything_else_is_not(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "0", "::1"]
)
def test_no_spelling_of_this_machine_is_let_through(host):
    with pytest.raises(AgentError, match="not on the public internet") as raised:
        resolve(host, 80, allow_private=False, stop=Stop())

    assert raised.value.code is ErrorCode.REJECTED
    assert not raised.value.retryable


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    _answer(monkeypatch, ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(AgentError, match=r"agents\.example leads to 10\.0\.0\.1"):
        resolve("agents.example", 443, allow_private=False, stop=Stop())


def test_public_addresses_are_let_through_in_their_order(monkeypatch):
    _answer(monkeypatch, ["8.8.8.8", "1.1.1.1"])

    found = resolve("agents.example", 443, allow_private=False, stop=Stop())

    assert [address.at for address in found] == [("8.8.8.8", 443), ("1.1.1.1", 443)]


def test_private_addresses_are_let_through_where_that_is_allowed():
    found = resolve("127.0.0.1", 80, allow_private=True, stop=Stop())

    assert [address.at for address in found] == [("127.0.0.1", 80)]


def test_an_address_with_a_zone_is_not_public(monkeypatch):
    _answer(monkeypatch, ["fe80::1%eth0"])

    with pytest.raises(AgentError, match="not on the public internet"):
        resolve("agents.example", 443, allow_private=False, stop=Stop())


def test_a_name_that_leads_nowhere_may_be_tried_again(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(AgentError, match="could not be resolved: Temporary failure") as raised:
        resolve("agents.example", 443, allow_private=False, stop=Stop())

    assert raised.value.retryable


def test_what_is_no_name_is_refused():
    with pytest.raises(AgentError, match="could not be resolved: it is no name"):
        resolve(f"{'a' * 70}.example", 443, allow_private=False, stop=Stop())


def test_a_resolver_that_hangs_does_not_outlive_a_stop(monkeypatch):
    stop, asked, release, returned = Stop(), threading.Event(), threading.Event(), []

    def hang(*_, **__):
        asked.set()
        release.wait(10)
        returned.append(True)
        return []

    def stop_once_asked():
        asked.wait(10)
        stop.set(StopReason.CANCELLED)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    stopper = threading.Thread(target=stop_once_asked)
    stopper.start()

    with pytest.raises(Stopped):
        resolve("agents.example", 443, allow_private=False, stop=stop)

    assert not returned
    release.set()
    stopper.join()


def _answer(monkeypatch, addresses: list[str]) -> None:
    def getaddrinfo(_host, port, **_):
        return [
            (
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
                if ":" in address
                else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
