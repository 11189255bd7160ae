import json
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from marshmallow import ValidationError
from waiting import wait_until

from shared.states import ErrorCode
from worker.agents import connection, polling, signature
from worker.agents.http import HttpAgent
from worker.agents.http_schema import HttpSchema
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop, StopReason

JSON = "application/json"


@pytest.fixture
def make_context(make_context):
    """A context that may reach the services of these tests, which are on this machine."""
    return lambda **changes: make_context(**({"allow_private_addresses": True} | changes))


@pytest.fixture
def quick(monkeypatch):
    """Lets a service be polled without a pause."""
    monkeypatch.setattr(polling, "SHORTEST_PAUSE", 0)
    monkeypatch.setattr(polling, "LONGEST_PAUSE", 0)


def test_the_message_is_sent_with_what_is_known_of_the_attempt(make, make_context, service):
    service.will_answer(200, "done")
    context = make_context(
        attempt=2,
        schedule_id=UUID(int=7),
        scheduled_for=datetime(2029, 12, 31, 9, 30, tzinfo=UTC),
    )

    result = make(HttpAgent, url=f"{service.url}?tenant=7").run("grüße", context)

    (asked,) = service.asked
    assert result.content == "done"
    assert (asked.method, asked.path) == ("POST", "/run?tenant=7")
    assert json.loads(asked.body) == {
        "message": "grüße",
        "runId": "0197a3f0-0000-7000-8000-000000000001",
        "agentId": "tester",
        "scheduleId": "00000000-0000-0000-0000-000000000007",
        "attempt": 2,
        "scheduledFor": "2029-12-31T09:30:00Z",
        "deadline": "2030-01-01T12:00:00Z",
        "previousSuccess": None,
    }
    assert asked.headers["Content-Type"] == JSON
    assert asked.headers["Idempotency-Key"] == "0197a3f0-0000-7000-8000-000000000001"
    assert asked.headers["Host"] == urlsplit(service.url).netloc


def test_headers_carry_secrets(make, make_context, service):
    service.will_answer(200)
    agent = make(
        HttpAgent,
        url=service.url,
        method="PUT",
        headers={"Authorization": "Bearer ${secret:KEY}", "content-type": "application/x-mine"},
    )

    agent.run("", make_context(secrets={"KEY": "sesame42"}))

    (asked,) = service.asked
    assert asked.method == "PUT"
    assert asked.headers["Authorization"] == "Bearer sesame42"
    assert asked.headers.get_all("Content-Type") == ["application/x-mine"]


def test_a_secret_that_would_break_out_of_its_header_is_not_sent(make, make_context, service):
    agent = make(HttpAgent, url=service.url, headers={"X-Key": "${secret:KEY}"})

    with pytest.raises(AgentError, match="header x-key is not one line") as raised:
        agent.run("", make_context(secrets={"KEY": "sesame42\r\nX-Admin: yes"}))

    assert service.asked == []
    assert "sesame42" not in str(raised.value)


def test_a_request_is_signed_so_that_it_can_be_verified(make, make_context, service):
    service.will_answer(200)
    secrets = {"HOOK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

    make(HttpAgent, url=service.url, signingSecret="HOOK").run("hi", make_context(secrets=secrets))

    (asked,) = service.asked
    sent_at = datetime.fromtimestamp(int(asked.headers["webhook-timestamp"]), UTC)
    expected = signature.headers(
        secrets["HOOK"], message_id=asked.headers["webhook-id"], body=asked.body, now=sent_at
    )
    assert asked.headers["webhook-signature"] == expected["webhook-signature"]
    assert asked.headers["webhook-id"] == "0197a3f0-0000-7000-8000-000000000001"
    assert abs(datetime.now(UTC) - sent_at) < timedelta(minutes=1)


def test_an_unknown_signing_secret_sends_nothing(make, make_context, service):
    with pytest.raises(AgentError, match="no secret HOOK"):
        make(HttpAgent, url=service.url, signingSecret="HOOK").run("hi", make_context())

    assert service.asked == []


def test_an_answer_in_json_can_say_what_it_cost(make, make_context, service):
    answer = {
        "content": "hello",
        "model": "a-model",
        "usage": {"inputTokens": 12, "outputTokens": 3, "costUsd": 0.0015},
    }
    service.will_answer(201, json.dumps(answer), Content_Type="application/json; charset=utf-8")

    result = make(HttpAgent, url=service.url).run("", make_context())

    assert (result.content, result.model) == ("hello", "a-model")
    assert (result.input_tokens, result.output_tokens) == (12, 3)
    assert result.cost_usd == Decimal("0.0015")


@pytest.mark.parametrize(
    "usage",
    [
        {"inputTokens": True, "outputTokens": 1.5, "costUsd": "NaN"},
        {"inputTokens": -1, "outputTokens": 2**31, "costUsd": -1},
        {"inputTokens": "12", "outputTokens": None, "costUsd": "1e400"},
        {"costUsd": "many"},
        {"costUsd": float("inf")},
        [],
        "free",
    ],
)
def test_usage_that_makes_no_sense_is_left_out(make, make_context, service, usage):
    service.will_answer(200, json.dumps({"content": "x", "usage": usage}), Content_Type=JSON)

    result = make(HttpAgent, url=service.url).run("", make_context())

    assert result.content == "x"
    assert (result.input_tokens, result.output_tokens, result.cost_usd) == (None, None, None)


@pytest.mark.parametrize(
    "body",
    ['{"answer": 42}', '{"content": 42}', '["content"]', "{", "[" * 100_000, "1" * 5000, '"x"'],
    ids=["other", "number", "list", "broken", "deep", "digits", "text"],
)
def test_any_other_json_is_the_content_as_it_is(make, make_context, service, body):
    service.will_answer(200, body, Content_Type=JSON)

    assert make(HttpAgent, url=service.url).run("", make_context()).content == body


def test_json_in_a_text_is_text(make, make_context, service):
    service.will_answer(200, '{"content": "x"}', Content_Type="text/plain")

    assert make(HttpAgent, url=service.url).run("", make_context()).content == '{"content": "x"}'


@pytest.mark.parametrize(
    ("charset", "body", "content"),
    [
        ("iso-8859-1", b"gr\xfc\xdfe", "grüße"),
        ("utf-8", b"gr\xc3\xbc\xff", "grü\N{REPLACEMENT CHARACTER}"),
        ("utf-16", "grüße".encode("utf-16"), "grüße"),
        ("zip", b"plain", "plain"),
        ("idna", b"plain", "plain"),
        ("utf-8-nonsense", b"plain", "plain"),
        ("x; charset*=nonsense''%ff%00", b"plain", "plain"),
        ("", b"plain\x00", "plain\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_an_answer_is_read_in_its_charset(make, make_context, service, charset, body, content):
    service.will_answer(200, body, Content_Type=f"text/plain; charset={charset}")

    assert make(HttpAgent, url=service.url).run("", make_context()).content == content


def test_secrets_show_nowhere(make, make_context, service):
    service.will_answer(200, "you sent sesame42")
    service.will_answer(403, "sesame42 is not good, nor is topsecret")
    agent = make(HttpAgent, url=service.url, headers={"X-Key": "topsecret"})
    context = make_context(secrets={"KEY": "sesame42"})

    content = agent.run("", context).content
    with pytest.raises(AgentError) as raised:
        agent.run("", context)

    assert content == "you sent ***"
    assert str(raised.value).endswith("answered 403 Forbidden: *** is not good, nor is ***")


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (422, False),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
        (599, True),
    ],
)
def test_a_refusal_is_an_error_that_says_whether_to_try_again(
    make, make_context, service, status, retryable
):
    service.will_answer(status, "because\n of reasons\0" + "x" * 10_000)

    with pytest.raises(AgentError, match=f"answered {status} .*: because of reasons") as raised:
        make(HttpAgent, url=service.url).run("", make_context())

    assert raised.value.retryable is retryable
    assert len(str(raised.value)) < 1500


def test_a_redirect_is_named_and_not_followed(make, make_context, service):
    service.will_answer(307, Location="http://127.0.0.1:1/elsewhere")

    with pytest.raises(AgentError, match="307 Temporary Redirect, to http://127"):
        make(HttpAgent, url=service.url).run("", make_context())

    assert len(service.asked) == 1


def test_a_packed_answer_is_refused(make, make_context, service):
    service.will_answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    with pytest.raises(AgentError, match="answered in gzip"):
        make(HttpAgent, url=service.url).run("", make_context())


def test_a_long_answer_is_cut(make, make_context, service):
    service.will_answer(200, "begin" + "x" * 3000 + "end")

    content = make(HttpAgent, url=service.url).run("", make_context(output_limit=1000)).content

    assert content.startswith("begin")
    assert "[… 2,008 bytes cut …]" in content
    assert content.endswith("end")


def test_an_endless_answer_is_not_read_to_its_end(make, make_context, misbehaving):
    def pour(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    content = (
        make(HttpAgent, url=misbehaving(pour)).run("", make_context(output_limit=10_000)).content
    )

    assert content.endswith("\n[… the rest was not read …]")
    assert len(content) < 10_200


@pytest.mark.parametrize("size", [b"-1", b"-5", b"FFFFFFFFFFFF"])
def test_a_chunk_of_impossible_size_does_no_harm(make, make_context, misbehaving, size):
    def pour(connection):
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n"
        )
        for _ in range(1000):
            connection.sendall(b"x" * 65_536)
        connection.shutdown(socket.SHUT_RDWR)

    content = (
        make(HttpAgent, url=misbehaving(pour)).run("", make_context(output_limit=10_000)).content
    )

    assert len(content) < 10_200


def test_chunks_are_put_together(make, make_context, misbehaving):
    def send(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n")

    assert make(HttpAgent, url=misbehaving(send)).run("", make_context()).content == "one two"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "did not answer in HTTP|hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer in HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "hung up before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "hung up before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", "hung up before"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "did not answer in HTTP: LineTooLong"),
    ],
    ids=["nothing", "other", "short", "short chunk", "no chunk", "many headers", "long header"],
)
def test_a_broken_answer_may_be_asked_for_again(make, make_context, misbehaving, answer, says):
    def send(connection):
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)

    with pytest.raises(AgentError, match=says) as raised:
        make(HttpAgent, url=misbehaving(send)).run("", make_context())

    assert raised.value.retryable


def test_a_service_that_is_not_there_may_be_tried_again(make, make_context):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(AgentError, match="could not be reached: Connection refused") as raised:
        make(HttpAgent, url=f"http://127.0.0.1:{port}/secret-path").run("", make_context())

    assert raised.value.retryable
    assert "secret-path" not in str(raised.value)


def test_the_next_address_is_tried_where_one_does_not_answer(
    make, make_context, service, monkeypatch
):
    service.will_answer(200, "found")
    port = urlsplit(service.url).port
    nowhere = ("127.0.0.2", port)
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", at) for at in (nowhere, ("127.0.0.1", port))
        ],
    )

    content = make(HttpAgent, url=f"http://agents.example:{port}/").run("", make_context()).content

    assert content == "found"
    assert service.asked[0].headers["Host"] == f"agents.example:{port}"


def test_a_private_address_is_not_reached_unless_that_is_allowed(make, make_context, service):
    with pytest.raises(AgentError, match="not on the public internet") as raised:
        make(HttpAgent, url=service.url).run("", make_context(allow_private_addresses=False))

    assert raised.value.code is ErrorCode.REJECTED
    assert service.asked == []


def test_no_proxy_of_the_environment_is_used(make, make_context, service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    service.will_answer(200, "direct")

    assert make(HttpAgent, url=service.url).run("", make_context()).content == "direct"


def test_a_service_that_takes_its_time_is_polled(make, make_context, service, quick):
    service.will_answer(202, Location="jobs/1")
    service.will_answer(202)
    service.will_answer(503)
    service.will_answer(202, Location="2")
    service.will_answer(200, "finished")
    agent = make(HttpAgent, url=service.url, headers={"X-Key": "abc"}, signingSecret="HOOK")

    content = agent.run("", make_context(secrets={"HOOK": "key"})).content

    assert content == "finished"
    assert [(asked.method, asked.path) for asked in service.asked] == [
        ("POST", "/run"),
        ("GET", "/jobs/1"),
        ("GET", "/jobs/1"),
        ("GET", "/jobs/1"),
        ("GET", "/jobs/2"),
    ]
    assert {asked.headers["X-Key"] for asked in service.asked} == {"abc"}
    assert all(asked.headers["webhook-signature"] for asked in service.asked)
    assert service.asked[1].body == b""


def test_accepted_without_a_location_is_the_answer(make, make_context, service):
    service.will_answer(202, "noted")

    assert make(HttpAgent, url=service.url).run("", make_context()).content == "noted"


def test_a_service_that_stays_away_is_given_up(make, make_context, service, quick):
    service.will_answer(202, Location="/jobs/1")
    service.will_answer(502)

    with pytest.raises(AgentError, match="502 Bad Gateway") as raised:
        make(HttpAgent, url=service.url).run("", make_context())

    assert raised.value.retryable
    assert len(service.asked) == 7


def test_a_job_that_is_gone_is_an_error_at_once(make, make_context, service, quick):
    service.will_answer(202, Location="/jobs/1")
    service.will_answer(410)

    with pytest.raises(AgentError, match="410 Gone"):
        make(HttpAgent, url=service.url).run("", make_context())

    assert len(service.asked) == 2


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://127.0.0.1:1/jobs/1", "another origin, 127.0.0.1:1"),
        ("//evil.example/jobs", "another origin, evil.example"),
        ("https://{here}/", "another origin"),
        ("http://[", "no URL"),
        ("/with space", "no URL"),
        ("/gr\xfc\xdfe", "no URL"),
    ],
)
def test_the_secrets_go_to_no_other_origin(make, make_context, service, location, says):
    here = urlsplit(service.url).netloc
    service.will_answer(202, Location=location.replace("{here}", here))

    with pytest.raises(AgentError, match=says):
        make(HttpAgent, url=service.url).run("", make_context())

    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("", 2.0),
        ("7", 7.0),
        ("0", 0.1),
        ("999999999", 300.0),
        ("9" * 20, 2.0),
        ("-1", 2.0),
        ("soon", 2.0),
        (format_datetime(datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC), usegmt=True), 30.0),
        ("Tue, 01 Jan 2030 12:00:30 -0000", 30.0),
        (format_datetime(datetime(2029, 1, 1, tzinfo=UTC), usegmt=True), 0.1),
    ],
)
def test_the_pause_is_as_long_as_the_service_wants_within_bounds(retry_after, seconds):
    noon = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)

    assert polling.pause(retry_after, otherwise=2.0, now=noon) == seconds


def test_a_stop_ends_the_pause_between_two_polls(make, make_context, start, service):
    service.will_answer(202, Location="/jobs/1", Retry_After="300")
    context = make_context(stop=Stop())
    running = start(make(HttpAgent, url=service.url), "", context)
    wait_until(lambda: service.asked, "the first request")

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=2)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\n\r\nsome",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nsome",
    ],
    ids=["nothing", "half a line", "an open body", "half a body", "half a chunk"],
)
def test_a_stop_cuts_off_a_service_that_has_said(make, make_context, start, misbehaving, said):
    context, connected = make_context(stop=Stop()), threading.Event()

    def hang(connection):
        connection.recv(65_536)
        connection.sendall(said)
        connected.set()

    running = start(make(HttpAgent, url=misbehaving(hang)), "", context)
    assert connected.wait(5)

    begun = time.monotonic()
    context.stop.set(StopReason.TIMEOUT)

    with pytest.raises(Stopped):
        running.result(timeout=5)
    assert time.monotonic() - begun < 0.5


def test_a_stop_cuts_off_a_service_that_does_not_read(make, make_context, start, misbehaving):
    context, connected = make_context(stop=Stop()), threading.Event()
    url = misbehaving(lambda _: connected.set())
    running = start(make(HttpAgent, url=url), "x" * 20_000_000, context)
    assert connected.wait(5)

    context.stop.set(StopReason.DRAINED)

    with pytest.raises(Stopped):
        running.result(timeout=2)


@pytest.fixture
def standing():
    """The port of a listener whose queue is full: whoever knocks is left standing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        before = [socket.socket() for _ in range(4)]
        for each in before:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in before:
            each.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux to see it knock")
def test_a_stop_ends_a_connection_that_does_not_come_about(make, make_context, start, standing):
    def knocking() -> int:
        with open("/proc/net/tcp") as connections:
            return sum(f":{standing:04X} 02 " in line for line in connections)

    context, before = make_context(stop=Stop()), knocking()
    running = start(make(HttpAgent, url=f"http://127.0.0.1:{standing}/"), "", context)
    wait_until(lambda: knocking() > before, "the agent to knock")

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=2)


def test_a_connection_that_does_not_come_about_is_given_up(
    make, make_context, monkeypatch, standing
):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.05)

    with pytest.raises(AgentError, match="could not be reached in time") as raised:
        make(HttpAgent, url=f"http://127.0.0.1:{standing}/").run("", make_context())

    assert raised.value.retryable


def test_an_answer_may_take_its_time(make, make_context, misbehaving, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.05)

    def answer_late(connection):
        # Nothing to wait for: it is time itself that must not end the exchange.
        threading.Event().wait(0.2)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    assert make(HttpAgent, url=misbehaving(answer_late)).run("", make_context()).content == "late"


def test_a_stop_ends_a_handshake(make, make_context, start, misbehaving):
    context, connected = make_context(stop=Stop()), threading.Event()
    url = misbehaving(lambda _: connected.set()).replace("http:", "https:")
    running = start(make(HttpAgent, url=url), "", context)
    assert connected.wait(5)

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for `agents.example`, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -keyout {path} -out {path}.crt"
        " -subj /CN=agents.example -addext subjectAltName=DNS:agents.example"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_name("both.pem.crt").read_text())
    return path


@pytest.fixture
def secure(misbehaving, certificate, monkeypatch):
    """A service behind TLS; every name leads to it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def answer(connection):
        with context.wrap_socket(connection, server_side=True) as secured:
            received = b""
            while not received.endswith(b"}"):
                received += secured.recv(65_536)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure")

    port = urlsplit(misbehaving(answer)).port
    here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [here])
    return port


def test_a_good_certificate_is_trusted(make, make_context, secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    content = (
        make(HttpAgent, url=f"https://agents.example:{secure}/").run("", make_context()).content
    )

    assert content == "secure"


@pytest.mark.parametrize(
    ("host", "trusted", "says"),
    [
        ("other.example", True, "Hostname mismatch"),
        ("agents.example", False, "self-signed certificate"),
    ],
)
def test_no_other_certificate_is(
    make, make_context, secure, certificate, monkeypatch, host, trusted, says
):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with pytest.raises(AgentError, match=f"certificate of https://{host}.*{says}") as raised:
        make(HttpAgent, url=f"https://{host}:{secure}/").run("", make_context())

    assert not raised.value.retryable


def test_a_configuration_can_be_loaded_again_and_again():
    raw = {"url": "https://agents.example", "headers": {"A": "${secret:B}"}, "pollSeconds": 1}

    loaded = HttpSchema().load(raw)

    assert HttpSchema().load(raw) == loaded
    assert raw["headers"] == {"A": "${secret:B}"}


@pytest.mark.parametrize(
    "url",
    ["http://a", "https://[::1]:8080/x?y=1#z", "HTTPS://A.example:443", "http://10.0.0.1/%20"],
)
def test_a_url_is_taken(url):
    assert HttpSchema().load({"url": url})["url"] == url


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({}, "url", "Give the URL"),
        ({"url": "agents.example/run"}, "url", "Give a whole URL"),
        ({"url": "ftp://agents.example"}, "url", "Give a whole URL"),
        ({"url": "file:///etc/passwd"}, "url", "Give a whole URL"),
        ({"url": "http://"}, "url", "Give a whole URL"),
        ({"url": "http://a:99999"}, "url", "Give a whole URL"),
        ({"url": "http://[::1"}, "url", "Give a whole URL"),
        ({"url": "http://me:pass@a"}, "url", "Take the user name out"),
        ({"url": "http://a/b c"}, "url", "Percent-encode"),
        ({"url": "http://a\\@b"}, "url", "Percent-encode"),
        ({"url": "http://a/\r\nX: y"}, "url", "Percent-encode"),
        ({"url": "http://ä.example"}, "url", "Percent-encode"),
        ({"url": "http://a/" + "x" * 2000}, "url", "1 to 2,000"),
        ({"url": "http://a/${secret:B}"}, "url", "A secret would show"),
        ({"url": "http://a", "method": "GET"}, "method", "POST or PUT"),
        ({"url": "http://a", "headers": {"Host": "b"}}, "headers", "leave it out"),
        ({"url": "http://a", "headers": {"content-length": "1"}}, "headers", "leave it out"),
        ({"url": "http://a", "headers": {"Transfer-Encoding": "x"}}, "headers", "leave it out"),
        ({"url": "http://a", "headers": {"Webhook-Id": "x"}}, "headers", "leave it out"),
        ({"url": "http://a", "headers": {"A b": "x"}}, "headers", "Give a header's name"),
        ({"url": "http://a", "headers": {"A": "x\r\ny"}}, "headers", "one line"),
        ({"url": "http://a", "headers": {"A": "世"}}, "headers", "one line"),
        ({"url": "http://a", "headers": {"A": "${secret:}"}}, "headers", "${secret:NAME}"),
        ({"url": "http://a", "headers": ["A"]}, "headers", "Give an object"),
        ({"url": "http://a", "signingSecret": "whsec_abc+/="}, "signingSecret", "the name of"),
        ({"url": "http://a", "pollSeconds": 0}, "pollSeconds", "from 0.1 to 300"),
        ({"url": "http://a", "proxy": "x"}, "proxy", "there are headers, method"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_cure(config, field, says):
    with pytest.raises(ValidationError) as raised:
        HttpSchema().load(config)

    assert says in str(raised.value.messages_dict[field])
