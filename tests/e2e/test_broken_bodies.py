"""Bodies that are badly put, as a real server reads them."""

import socket

import pytest
from system import ADMIN_TOKEN

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
FORM = "multipart/form-data; boundary=between"
BATCHES = "/api/v1/schedules/batches"


def ask(system, path, kind, chunks):
    """The status of the answer to a body that is sent as it is."""
    head = HEAD.format(path=path, token=ADMIN_TOKEN, kind=kind)
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as connection:
        connection.sendall(head.encode() + chunks)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_chunks_that_are_badly_put_are_a_bad_request(system):
    system.start("web")

    for path, kind in (("/api/v1/schedules", "application/json"), (BATCHES, FORM)):
        for chunks in (b'4\r\n{"a"\r\nzz\r\n', b"4\r\n--be\r\n0\r\nbad trailer", b"4\r\n{"):
            assert ask(system, path, kind, chunks) == 400, chunks
    assert system.call("GET", BATCHES)[1]["totalElements"] == 0
