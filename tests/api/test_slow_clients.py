"""Clients that take their time, and what that is to the others: a real server, bare sockets."""

import http.client
import logging
import select
import socket
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from factories import NOON, make_batch, make_run
from system import ADMIN_TOKEN
from waiting import wait_until
from watching import next_event

from api import gunicorn_conf, long_requests
from shared import events
from shared.batches.models import BatchProgress
from shared.models import Run
from shared.states import COMPLETED, BatchStatus

PATH = "/api/v1/schedules/batches"
# Two more than there are places for.
MANY = long_requests.MOST + 2


@pytest.fixture
def server(system):
    """A real server of one process, with as few connections to the database as there may be."""
    system.environ["WEB_CONCURRENCY"] = "1"
    system.environ["AGENT_MANAGER_DATABASE_CONNECTIONS"] = "4"
    system.start("web")
    return system


@pytest.fixture
def send(server):
    """Sends the beginning of a request over a socket of its own, which stays open."""
    with ExitStack() as opened:

        def start(*lines, body=""):
            client = opened.enter_context(socket.socket())
            # It takes little before it is read from.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", server.port))
            head = [*lines, "Host: here", f"Authorization: Bearer {ADMIN_TOKEN}"]
            client.sendall("\r\n".join([*head, "", body]).encode())
            return client

        yield start


def status_of(client):
    return int(client.recv(16).split()[1])


def wait_for_answers(clients, count):
    """Those of *clients* that are answered, once there are so many."""
    return wait_until(
        lambda: len(found := select.select(clients, [], [], 0)[0]) >= count and found, "answers"
    )


def others_are_answered(server):
    paths = (PATH, "/api/v1/schedules", "/api/v1/queues")
    return [server.call("GET", path)[0] for path in paths] == [200] * 3


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("multipart/form-data; boundary=b", '--b\r\nContent-Disposition: form-data; name="na'),
        ("application/json", '{"name": "Let'),
    ],
)
def test_who_sends_slowly_keeps_nobody_waiting(server, send, media_type, body):
    for _ in range(20):
        send(
            f"POST {PATH} HTTP/1.1",
            f"Content-Type: {media_type}",
            "Content-Length: 100000",
            body=body,
        )

    assert others_are_answered(server)


def test_so_many_upload_at_a_time_and_no_more(server, send):
    began = '--b\r\nContent-Disposition: form-data; name="na'
    lines = (f"POST {PATH} HTTP/1.1", "Content-Type: multipart/form-data; boundary=b")
    clients = [send(*lines, "Content-Length: 1000", body=began) for _ in range(MANY)]

    # Nobody else is answered before he has sent all.
    assert [status_of(client) for client in wait_for_answers(clients, 2)] == [503] * 2
    assert others_are_answered(server)


def test_who_reads_slowly_keeps_nobody_waiting(server, send):
    batch = make_batch(items=100, status=BatchStatus.COMPLETED, finished_at=NOON)
    content, ended = "x" * 200_000, {"status": COMPLETED, "finished_at": NOON}
    for index in range(100):
        make_run(batch=batch, item_index=index, queue="local", content=content, **ended)
    BatchProgress.update(total=100, taken=100, completed=100).execute()

    clients = [send(f"GET {PATH}/{batch.id}/results HTTP/1.1") for _ in range(MANY)]
    statuses = [status_of(client) for client in clients]

    assert statuses.count(200) == long_requests.MOST
    assert statuses.count(503) == 2
    assert others_are_answered(server)


def test_who_watches_slowly_keeps_nobody_waiting_and_misses_nothing(server, send):
    run = make_run(attempt=1)
    for _ in range(3):
        events.append(run.id, 1, [events.Event(NOON, "log", {"text": "x" * 1000})] * 1000)
    Run.update(status=COMPLETED, finished_at=NOON).execute()
    lines = (f"GET /api/v1/runs/{run.id}/events HTTP/1.1", "Accept: text/event-stream")

    first, *others = [send(*lines) for _ in range(MANY)]

    statuses = [status_of(client) for client in others]
    assert statuses.count(200) == long_requests.MOST - 1
    assert statuses.count(503) == 2
    assert others_are_answered(server)
    with http.client.HTTPResponse(first) as response:
        response.begin()
        told = list(iter(lambda: next_event(response), None))
    assert [event.id for event in told] == [*map(str, range(1, 3001)), "ended"]


def test_who_stands_still_is_given_up():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gunicorn_conf.pre_request(None, SimpleNamespace(unreader=SimpleNamespace(sock=ours)))

        assert ours.gettimeout() == 30


def test_who_was_given_up_is_said_in_a_line(caplog):
    log = logging.getLogger("a server of its own")
    gunicorn_conf.on_starting(SimpleNamespace(log=SimpleNamespace(error_log=log)))
    try:
        raise TimeoutError
    except TimeoutError:
        log.exception("Socket error processing request.")

    assert caplog.messages == ["A client that stood still for 30 s was given up."]
    assert "Traceback" not in caplog.text
