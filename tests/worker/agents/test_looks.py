"""What each kind looks at before a run, without running anything."""

import socket
import threading
from contextlib import closing

import pytest

from shared.findings import FAIL, OK
from worker.agents import checkup
from worker.agents.command import CommandAgent
from worker.agents.http import HttpAgent
from worker.agents.looks import look
from worker.agents.protocol import AgentError, Stopped
from worker.agents.python import PythonAgent
from worker.agents.stop import Stop, StopReason

INSIDE = {"allow_private_addresses": True}


@pytest.fixture
def check(make, make_context):
    """Checks an agent of a kind; its findings by their names."""

    def check(kind, *, context=None, **config):
        found = make(kind, **config).check(make_context(**context or {}))
        return {each.name: each for each in found}

    return check


@pytest.fixture
def module(tmp_path):
    """Writes a module; gives the folder."""

    def write(source):
        (tmp_path / "agents.py").write_text(source)
        return str(tmp_path)

    return write


def nowhere():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/run"


# Looks.


def test_a_look_finds_what_it_sees_or_why_it_sees_nothing(make_context):
    def sees_nothing(context):
        raise AgentError("There is nothing.")

    well = look("thing", lambda context: "It is there.", make_context())
    ill = look("thing", sees_nothing, make_context())

    assert (well.status, well.says) == (OK, "It is there.")
    assert (ill.status, ill.says) == (FAIL, "There is nothing.")


def waits(context):
    context.stop.wait(10)
    raise Stopped


def test_a_look_that_takes_too_long_is_a_finding(make_context):
    found = look("thing", waits, make_context(), seconds=0.01)

    assert (found.status, found.says) == (FAIL, "There was no answer within 0.01 seconds.")


def test_a_look_is_over_when_its_check_is_stopped(make_context):
    context = make_context(stop=Stop())
    threading.Timer(0.01, context.stop.set, (StopReason.CANCELLED,)).start()

    with pytest.raises(Stopped):
        look("thing", waits, context)


# Every kind.


def test_of_every_kind_the_secrets_are_looked_at(make_context):
    config = {"url": "http://127.0.0.1:1/", "headers": {"X": "${secret:ONE}-${secret:TWO}"}}
    loaded = HttpAgent.config_schema().load(config)

    with_one = make_context(secrets={"ONE": "of-value-one"}, **INSIDE)
    found = {each.name: each for each in checkup.findings("http", loaded, with_one)}

    assert found["kind"].status is OK
    assert (found["secrets"].status, "TWO" in found["secrets"].says) == (FAIL, True)
    assert "AGENT_MANAGER_SECRET_TWO" in found["secrets"].cure
    assert "of-value-one" not in str(found)


def test_secrets_that_are_there_are_well(make_context):
    loaded = CommandAgent.config_schema().load({"argv": ["true"], "env": {"X": "${secret:ONE}"}})

    found = checkup.findings("command", loaded, make_context(secrets={"ONE": "of-value-one"}))

    assert [(each.name, each.status) for each in found] == [
        ("kind", OK),
        ("secrets", OK),
        ("program", OK),
    ]


def test_a_kind_that_looks_at_nothing_takes_its_configuration(make_context):
    (found,) = checkup.findings("echo", {}, make_context())

    assert (found.name, found.status) == ("kind", OK)


# http.


def test_a_service_that_takes_connections_is_sent_nothing(check, misbehaving):
    taken = threading.Event()
    received = []

    def take(connection):
        received.append(connection.recv(1))
        taken.set()

    found = check(HttpAgent, url=misbehaving(take), context=INSIDE)

    assert found["service"].status is OK
    assert taken.wait(10)
    assert received == [b""]


def test_a_service_that_is_away_is_found(check):
    found = check(HttpAgent, url=nowhere(), context=INSIDE)

    assert (found["service"].status, "could not be reached" in found["service"].says) == (
        FAIL,
        True,
    )


def test_a_service_inside_is_found_where_that_is_not_allowed(check, service):
    found = check(HttpAgent, url=service.url)

    assert found["service"].status is FAIL
    assert "not on the public internet" in found["service"].says


def test_a_service_that_speaks_no_tls_is_found(check, misbehaving):
    plain = misbehaving(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))

    found = check(HttpAgent, url=plain.replace("http:", "https:"), context=INSIDE)

    assert found["service"].status is FAIL


def test_headers_that_cannot_be_sent_are_found(check, service):
    context = {"secrets": {"KEY": "two\nlines"}, **INSIDE}

    found = check(HttpAgent, url=service.url, headers={"X": "${secret:KEY}"}, context=context)

    assert (found["service"].status, found["headers"].status) == (OK, FAIL)


# command.


def test_a_program_is_there_and_is_not_run(check, tmp_path):
    witness = tmp_path / "was-run"

    found = check(CommandAgent, argv=["touch", str(witness)])

    assert found["program"].status is OK
    assert not witness.exists()


@pytest.mark.parametrize(
    "config", [{"argv": ["no-such-program"]}, {"argv": ["true"], "cwd": "/no/such/folder"}]
)
def test_a_program_that_is_not_there_is_found(check, config):
    found = check(CommandAgent, **config)

    assert (found["program"].status, "This worker has no" in found["program"].says) == (FAIL, True)


# python.


def test_a_function_is_imported_and_not_called(check, module, tmp_path, reports):
    path = module(
        "print('imported')\n"
        "def answer(message):\n"
        f"    open({str(tmp_path / 'was-called')!r}, 'w').close()\n"
    )

    found = check(PythonAgent, entry="agents:answer", path=path)

    assert found["function"].status is OK
    assert not (tmp_path / "was-called").exists()
    assert reports == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "has no function answer"),
        ("import no_such_module", "no_such_module"),
        ("raise ValueError('not today')", "ValueError: not today"),
    ],
)
def test_a_function_that_cannot_be_imported_is_found(check, module, source, says):
    found = check(PythonAgent, entry="agents:answer", path=module(source))

    assert found["function"].status is FAIL
    assert says in found["function"].says


def test_an_import_that_takes_too_long_is_found(check, module, monkeypatch):
    monkeypatch.setattr("worker.agents.python.IMPORT_SECONDS", 0.2)

    found = check(PythonAgent, entry="agents:answer", path=module("import time; time.sleep(60)"))

    assert (found["function"].status, "no answer" in found["function"].says) == (FAIL, True)
