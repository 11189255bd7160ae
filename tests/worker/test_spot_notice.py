"""The notice that a machine is about to be taken away, as each cloud gives it."""

import json
import socket
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from running import free_port
from waiting import wait_until

from shared import clock
from worker import spot_notice
from worker.spot_notice import SpotNotice

SOON = timedelta(milliseconds=5)
TAKEN_AWAY = {"action": "terminate", "time": "2026-11-22T12:02:00Z"}


class Cloud:
    """A service that tells a machine of its end; *given* is whether that is near."""

    path = "/"

    def __init__(self):
        self.given = False
        #: How often it was asked.
        self.asked = 0

    def answer(self, method, path, headers):
        """The status and the body of the answer."""
        raise NotImplementedError


class Aws(Cloud):
    path = "/latest/meta-data/spot/instance-action"

    def answer(self, method, path, headers):
        if (method, path) != ("GET", self.path) or not self.given:
            return 404, "<html>404 - Not Found</html>"
        return 200, json.dumps(TAKEN_AWAY)


class AwsWithTokens(Aws):
    """IMDSv2: nothing without a token, and each token is good for one question."""

    def __init__(self):
        super().__init__()
        self._tokens, self._good = count(), set()

    def answer(self, method, path, headers):
        if (method, path) == ("PUT", "/latest/api/token"):
            if not 1 <= int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600:
                return 400, "Bad Request"
            token = f"token-{next(self._tokens)}=="
            self._good.add(token)
            return 200, token
        if headers.get("X-aws-ec2-metadata-token") not in self._good:
            return 401, "Unauthorized"
        self._good.clear()
        return super().answer(method, path, headers)


class Google(Cloud):
    path = "/computeMetadata/v1/instance/preempted"

    def answer(self, method, path, headers):
        if headers.get("Metadata-Flavor") != "Google" or path != self.path:
            return 403, "Missing Metadata-Flavor:Google header."
        return 200, "TRUE" if self.given else "FALSE"


class Azure(Cloud):
    """It tells each machine of a scale set what happens to any of them."""

    path = "/metadata/scheduledevents?api-version=2020-07-01"
    name = "workers_7"
    event = "Preempt"

    def answer(self, method, path, headers):
        if headers.get("Metadata") != "true":
            return 400, json.dumps({"error": "Bad request. Required metadata header not specified"})
        if path == "/metadata/instance/compute/name?api-version=2021-02-01&format=text":
            return 200, self.name
        if path != self.path:
            return 400, json.dumps({"error": "Bad request. api-version is invalid"})
        events = [scheduled("Reboot", self.name), scheduled("Preempt", "workers_8")]
        given = [scheduled(self.event, "workers_6", self.name)] if self.given else []
        return 200, json.dumps({"DocumentIncarnation": 1, "Events": events + given})


class AzureThatDeletes(Azure):
    event = "Terminate"


class Saying(Cloud):
    """One that always answers the same."""

    def __init__(self, body, status=200):
        super().__init__()
        self.says = status, body

    def answer(self, method, path, headers):
        return self.says


def scheduled(event, *machines):
    return {"EventId": "1", "EventType": event, "Resources": machines, "EventStatus": "Scheduled"}


@contextmanager
def served(cloud):
    """The url of what *cloud* answers, served over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.command == "GET":
                cloud.asked += 1
            status, body = cloud.answer(self.command, self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_PUT(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{cloud.path}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def serve():
    """Serves a cloud until the test ends, and gives its url."""
    contexts = []

    def start(cloud):
        context = served(cloud)
        contexts.append(context)
        return context.__enter__()

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def watch():
    """Watches for the notice at a path or url until the test ends."""
    watching = []

    def start(where):
        notice = SpotNotice(str(where), SOON)
        watching.append(notice)
        notice.start()
        return notice

    yield start
    for notice in watching:
        notice.close()
    wait_until(lambda: not threads(), "all who watch to end")


def threads():
    return [each for each in threading.enumerate() if each.name == "spot notice"]


def troubles(caplog):
    return caplog.text.count("cannot read the notice that this machine is taken away")


CLOUDS = [Aws, AwsWithTokens, Google, Azure, AzureThatDeletes]


@pytest.mark.parametrize("kind", CLOUDS)
def test_the_notice_of_each_cloud_is_noticed_once_it_is_given_and_no_sooner(
    kind, serve, watch, caplog
):
    cloud = kind()
    notice = watch(serve(cloud))
    wait_until(lambda: cloud.asked >= 6, "some looks")
    assert not notice.is_given()

    cloud.given = True

    wait_until(notice.is_given, "the notice to be noticed")
    assert troubles(caplog) == 0
    assert caplog.text.count("this machine is about to be taken away") == 1
    wait_until(lambda: not threads(), "nobody to watch any more")


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_notice_that_is_there_from_the_start_is_noticed_at_once(kind, serve, watch):
    cloud = kind()
    cloud.given = True

    assert watch(serve(cloud)).is_given()


def test_a_file_that_appears_is_a_notice(watch, tmp_path):
    file = tmp_path / "notice"
    notice = watch(file)
    assert not notice.is_given()

    file.touch()

    wait_until(notice.is_given, "the notice to be noticed")
    assert watch(file).is_given()


def test_where_nothing_is_configured_nobody_watches(watch):
    notice = watch("")

    assert not notice.is_given()
    assert not threads()


def test_who_is_closed_looks_no_more(serve, watch):
    cloud = Google()
    notice = watch(serve(cloud))

    notice.close()

    wait_until(lambda: not threads(), "nobody to watch any more")
    cloud.given = True
    assert not notice.is_given()


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_whatever_aws_is_about_to_do_takes_the_machine_away(serve, watch, action):
    cloud = Saying(json.dumps(TAKEN_AWAY | {"action": action}))

    assert watch(serve(cloud)).is_given()


@pytest.mark.parametrize(
    ("events", "given"),
    [
        ([], False),
        ([("Freeze", "me"), ("Reboot", "me"), ("Redeploy", "me")], False),
        ([("Preempt", "me")], True),
        ([("Reboot", "another"), ("Terminate", "another", "ME")], True),
        ([("Preempt", "another", "me too"), ("Reboot", "me")], False),
    ],
)
def test_not_every_event_of_azure_takes_this_machine_away(events, given):
    body = json.dumps({"DocumentIncarnation": 2, "Events": [scheduled(*each) for each in events]})

    assert spot_notice.says_so(body, lambda: "Me") is given


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, ""),
        (200, "<html>Sign in</html>"),
        (200, "YES"),
        (200, "[]"),
        (200, '"action"'),
        (200, "{}"),
        (200, '{"Events": null}'),
        (200, '{"Events": ["Preempt"]}'),
        (200, '{"Events": {"EventType": "Preempt"}}'),
        (200, '{"Events": [{"EventType": "Preempt"}]}'),
        (200, '{"Events": [{"EventType": "Preempt", "Resources": [7]}]}'),
        (200, "[" * 50_000),
        (200, json.dumps({"action": "x" * 100_000})),
        (400, json.dumps(TAKEN_AWAY)),
        (500, "TRUE"),
        (302, ""),
        (401, "Unauthorized"),
        (401, "a token\nof two lines"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_no_cloud_says_is_no_notice_and_is_said_once_a_minute(
    status, body, serve, watch, caplog, monkeypatch
):
    caplog.set_level("INFO")
    cloud = Saying(body, status)
    passed = 0
    monotonic = clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + passed)
    notice = watch(serve(cloud))
    wait_until(lambda: cloud.asked >= 6, "some looks")
    assert (notice.is_given(), troubles(caplog)) == (False, 1)

    passed = 60

    wait_until(lambda: troubles(caplog) == 2, "it to be said again")
    cloud.says = 200, "TRUE"
    wait_until(notice.is_given, "the notice to be noticed")
    assert "can read the notice that this machine is taken away again" in caplog.text


def says_nothing(connection):
    connection.recv(1)


def hangs_up(connection):
    pass


def hangs_up_in_the_middle(connection):
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nTR")


def speaks_something_else(connection):
    connection.recv(1024)
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


@pytest.fixture
def accept():
    """Has *then* done with each connection to a port, which is then closed; gives the url."""
    listener = socket.create_server(("127.0.0.1", 0))
    closed = threading.Event()
    accepting = []

    def attend(then):
        while not closed.is_set():
            connection, _ = listener.accept()
            with connection:
                if not closed.is_set():
                    then(connection)
                    # Who says nothing does not hang up, either.
                    while then is says_nothing and connection.recv(1024):
                        pass

    def start(then):
        thread = threading.Thread(target=attend, args=(then,))
        thread.start()
        accepting.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    closed.set()
    for thread in accepting:
        socket.create_connection(listener.getsockname()).close()
        thread.join()
    listener.close()


@pytest.mark.parametrize(
    "then", [says_nothing, hangs_up, hangs_up_in_the_middle, speaks_something_else]
)
def test_a_server_that_does_not_answer_gives_no_notice(then, accept, watch, caplog, monkeypatch):
    monkeypatch.setattr(spot_notice, "_TIMEOUT_SECONDS", 0.05)

    notice = watch(accept(then))

    assert (notice.is_given(), troubles(caplog), len(threads())) == (False, 1, 1)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://127.0.0.1:port/", "http://[::1"],
)
def test_where_no_server_is_there_is_no_notice(url, watch, caplog):
    notice = watch(url.format(port=free_port()))

    assert (notice.is_given(), troubles(caplog), len(threads())) == (False, 1, 1)
