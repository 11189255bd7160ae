"""The contract: our own kinds keep it, and a kind that breaks a promise is told which."""

import textwrap
import threading
import unittest
from uuid import uuid4

import pytest
from fake_models import FakeModels

from worker.agents.contract import AgentContract
from worker.agents.kind_contract import Broken


class TestEcho(AgentContract):
    kind = "echo"
    config = {"costUsd": 0.02}
    refused = {"delaySeconds": -1, "failureRate": 2, "retryable": "perhaps", "costUsd": "much"}
    slow_config = {"delaySeconds": 3600}
    failing_config = {"failureRate": 1}


CHILD = {
    "env": {"AGENT_ID": "mine"},
    "maxMemoryMb": 0,
    "maxCpuSeconds": 0,
    "maxFileMb": 0,
}
SECRET = {"env": {"KEY": "${secret:CONTRACT}"}}


class TestCommand(AgentContract):
    kind = "command"
    config = {"argv": ["sh", "-c", 'cat; echo "$KEY"; echo "$KEY" >&2'], **SECRET}
    refused = {"argv": [], "cwd": "", **CHILD}
    slow_config = {"argv": ["sh", "-c", "echo begun >&2; sleep 3600"]}
    failing_config = {"argv": ["sh", "-c", 'echo "$KEY" >&2; exit 1'], **SECRET}

    def under_way(self, trial, seconds):
        trial.reported.wait(seconds)


FUNCTIONS = """
    import os, sys, time

    def answers(message):
        print(os.environ["KEY"])
        return message + os.environ["KEY"]

    def lasts(message):
        print("begun")
        time.sleep(3600)

    def fails(message):
        raise ValueError(os.environ["KEY"])
"""


class TestPython(AgentContract):
    kind = "python"
    refused = {"entry": "no function", "path": "", **CHILD}

    @pytest.fixture(autouse=True)
    def _functions(self, tmp_path):
        (tmp_path / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
        given = {"path": str(tmp_path), **SECRET}
        self.config = {"entry": "functions:answers", **given}
        self.slow_config = {"entry": "functions:lasts", **given}
        self.failing_config = {"entry": "functions:fails", **given}

    def under_way(self, trial, seconds):
        trial.reported.wait(seconds)


class TestHttp(AgentContract):
    kind = "http"
    refused = {
        "url": "example.com",
        "method": "GET",
        "headers": {"Host": "elsewhere"},
        "signingSecret": "not a name",
        "pollSeconds": 0,
    }

    @pytest.fixture(autouse=True)
    def _services(self, misbehaving):
        self.asked = threading.Event()

        def answering(status):
            """A service that shows in its answer what it was sent."""

            def answer(connection):
                sent = b""
                while not sent.endswith(b"}"):
                    chunk = connection.recv(65_536)
                    if not chunk:
                        return
                    sent += chunk
                length = b"Content-Length: %d" % len(sent)
                connection.sendall(b"HTTP/1.1 %d\r\n%s\r\n\r\n%s" % (status, length, sent))

            return misbehaving(answer)

        given = {"headers": {"X-Key": "${secret:CONTRACT}"}}
        self.config = {"url": answering(200), **given}
        self.slow_config = {"url": misbehaving(lambda _: self.asked.set()), **given}
        self.failing_config = {"url": answering(500), **given}

    def under_way(self, trial, seconds):
        self.asked.wait(seconds)


class TestLlm(AgentContract):
    kind = "llm"
    refused = {
        "model": "gpt-5",
        "baseUrl": "example.com",
        "apiKey": "sk-of-mine",
        "instructions": "${secret:CONTRACT}",
        "temperature": 3,
        "maxTokens": 0,
        "outputSchema": {"type": "array"},
        "outputMode": "magic",
        "limits": {"requests": 0},
        "price": {"inputPerMillion": 1},
        "tools": [{"name": "a tool"}],
        "mcpServers": [{"name": "files"}],
        "askPerson": "perhaps",
    }

    @pytest.fixture(autouse=True)
    def _models(self):
        with FakeModels() as self.models:
            given = {"baseUrl": self.models.url, "apiKey": "${secret:CONTRACT}"}
            self.config = {"model": "openai-chat:echo", **given}
            self.slow_config = {"model": "openai-chat:slow", **given}
            self.failing_config = {"model": "openai-chat:locked", **given}
            yield

    def under_way(self, trial, seconds):
        self.models.waiting.acquire(timeout=seconds)


SOUND = """
    import threading
    from marshmallow import Schema, ValidationError, fields, pre_load, validates_schema
    from shared.findings import OK
    from worker.agents import config as of_the_house
    from worker.agents.output import cap
    from worker.agents.placeholders import expand, redact
    from worker.agents.protocol import AgentError, Finding, Result, Stopped

    LOCK = threading.Lock()

    def alone(stop, config):
        with LOCK:
            return stop.wait(config["seconds"])

    class Options(of_the_house.ConfigSchema):
        seconds = of_the_house.number(fields.Float, 0, 3600, load_default=0.0)
        key = of_the_house.text(100, of_the_house.with_secrets, load_default="")
        fails = fields.Boolean(load_default=False)

    class Sound:
        config_schema = Options
        admin_only = False

        def __init__(self, config):
            self.config = config

        def run(self, message, context):
            secrets = context.secrets.values()
            key = expand(self.config["key"], context.secrets)
            context.report("began", {"with": redact(key, secrets)})
            if context.stop.wait(self.config["seconds"]):
                raise Stopped
            if self.config["fails"]:
                raise AgentError(redact(f"Failed with {key}.", secrets))
            content = cap(redact(f"{message} {key}", secrets), context.output_limit)
            return Result(content=content, metadata={"tried": [1]})

        def check(self, context):
            return [Finding("key", OK, "There is a key.")]
"""
PROMISES = [name for name in dir(AgentContract) if name.startswith("test_")]


class OnSound(AgentContract):
    kind = "sound"
    config = {"key": "Bearer ${secret:CONTRACT}"}
    refused = {"seconds": -1, "key": "${secret:}", "fails": "perhaps"}
    slow_config = {"seconds": 60, "key": "Bearer ${secret:CONTRACT}"}
    failing_config = {"fails": True, "key": "Bearer ${secret:CONTRACT}"}
    soon = patience = 5.0


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a kind of that source, as pip would; under the name `sound`."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(source):
        module = f"kind_{uuid4().hex}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        about = tmp_path / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = f"[agent_manager.agents]\nsound = {module}:Sound\n"
        (about / "entry_points.txt").write_text(points)

    return install


@pytest.mark.parametrize("promise", PROMISES)
def test_a_sound_kind_keeps_every_promise(install, promise):
    install(SOUND)

    getattr(OnSound(), promise)()


def test_the_promises_are_tests_of_unittest_too(install):
    install(SOUND)
    case = type("SoundCase", (OnSound, unittest.TestCase), {})
    found = unittest.TestResult()

    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(found)

    assert found.testsRun == len(PROMISES)
    assert found.wasSuccessful(), found.failures + found.errors


LOADS = "its_schema_takes_its_configuration"
IMPORT = "importing_it_is_cheap"
UNKNOWN = "an_unknown_option_is_refused"
REFUSES = "each_option_refuses_what_it_cannot_use"
ACCIDENT = "no_configuration_is_an_accident"
RETURNS = "a_run_returns_a_result"
BOUNDED = "its_output_is_bounded"
BEFORE = "a_stop_before_a_run_ends_it"
MIDDLE = "a_stop_in_the_middle_of_a_run_ends_it"
AT_ONCE = "two_runs_can_go_on_at_once"
FAILS = "a_failure_is_an_agent_error"
SECRETS = "no_secret_shows"
CHECKS = "a_check_returns_findings"

THREADING = "import threading"
REPORT = 'context.report("began", {"with": redact(key, secrets)})'
WAIT = "context.stop.wait("
RESULT = 'return Result(content=content, metadata={"tried": [1]})'

# What is written instead of what in `SOUND`, the promise that this breaks, and what is said of it.
BROKEN = [
    ("def run(", "def execute(", "one_entry_point_leads_to_it", "has no run"),
    ("class Sound:", "Sound = 1\n    class Other:", RETURNS, ":Sound is 1: name a class"),
    (THREADING, f"{THREADING}, socket; socket.socket().close()", IMPORT, "opens a socket"),
    (THREADING, f"{THREADING}, socket; socket.getaddrinfo('::1', 1)", IMPORT, "looks up a host"),
    (THREADING, f"{THREADING}, os; os.system('true')", IMPORT, "starts a process"),
    (THREADING, f"{THREADING}; threading.Timer(9, print).start()", IMPORT, "a thread"),
    (THREADING, f"{THREADING}, flask, psycopg", IMPORT, "modules .* brings .*flask, .*psycopg"),
    (THREADING, f"{THREADING}; HEAVY = bytearray(9_000_000)", IMPORT, r"and 8\.\d MiB"),
    (THREADING, f"{THREADING}, json.nothing", IMPORT, "cannot be imported .*No module named"),
    ("load_default=0.0", "required=True", LOADS, "refuses .*'seconds'"),
    (
        "class Options(of_the_house.ConfigSchema):",
        "class Options(Schema):",
        UNKNOWN,
        "does not name seconds, key, fails",
    ),
    (
        "        seconds =",
        "        class Meta:\n            unknown = 'include'\n        seconds =",
        UNKNOWN,
        "takes an option that there is not",
    ),
    ("fields.Boolean(load", "fields.Raw(load", REFUSES, "takes 'perhaps' for fails"),
    ("fails = fields", "more = fields.Raw(); fails = fields", REFUSES, "bad value for more too"),
    ("admin_only = False", "admin_only = 'no'", "admin_only_is_a_bool", "admin_only is 'no'"),
    (
        "self.config = config",
        "self.config = 1 / (not config['fails'])",
        ACCIDENT,
        "takes fails: 'True', and then `__init__` raises ZeroDivisionError",
    ),
    (
        "fields.Boolean(load_default=False)",
        "fields.Function(deserialize=lambda v: v + 1)",
        ACCIDENT,
        "raises TypeError.* for fails: '', which the API",
    ),
    ("return Result(", "return list(", RETURNS, "raises TypeError"),
    (THREADING, "import nothing_of_that_name", RETURNS, "cannot be loaded: ModuleNotFoundError"),
    (
        "fails = fields.Boolean(load_default=False)",
        """fails = fields.Raw(load_default=False)

        @validates_schema
        def check(self, data, **_):
            if data["fails"] == "perhaps":
                raise ValidationError("No.")""",
        REFUSES,
        "fails is refused with .*_schema.*: give a message under fails",
    ),
    (
        "        seconds =",
        """
        @pre_load
        def change(self, data, **_):
            data["seconds"] = 1
            return data

        seconds =""",
        LOADS,
        "changes the configuration it is given",
    ),
    (RESULT, "return content", RETURNS, "returns '.*': return a `Result`"),
    ("content=content", "content=content.encode()", RETURNS, "The content is bytes"),
    ("content=content", "content=content, model=4", RETURNS, "The model is 4"),
    ("content=content", "content=content, input_tokens=1.5", RETURNS, "input_tokens is 1.5"),
    ("content=content", "content=content, cost_usd=0.01", RETURNS, "cost_usd is 0.01"),
    ('{"tried": [1]}', '{"tried": {1}}', RETURNS, "metadata cannot be recorded: set is not JSON"),
    ('{"tried": [1]}', "[1]", RETURNS, "The metadata is list: give a dict"),
    ('"began", {"with": redact(key, secrets)}', '"", {}', RETURNS, "type of an event is ''"),
    (
        "redact(key, secrets)}",
        "context}",
        RETURNS,
        "event began cannot be recorded: Context is not",
    ),
    (REPORT, f"for _ in range(1001): {REPORT}", RETURNS, "reports 1,001 events"),
    ("context.output_limit)", "10**6)", BOUNDED, "the content has .* bytes"),
    (WAIT, "threading.Event().wait(", BEFORE, "goes on for 1 seconds after it was told before the"),
    (WAIT, "context.stop.is_set() or threading.Event().wait(", MIDDLE, "in its middle to stop"),
    (WAIT, "bool(0 * ", MIDDLE, "ends by itself: give one that lasts"),
    ("raise Stopped", "raise RuntimeError", BEFORE, "gives RuntimeError.*: raise `Stopped`"),
    ("raise Stopped", "raise AgentError('Oh.')", MIDDLE, "gives AgentError.*: raise `Stopped`"),
    (
        'context.stop.wait(self.config["seconds"])',
        "alone(context.stop, self.config)",
        AT_ONCE,
        "while another of its kind goes on has not ended after 1 seconds",
    ),
    ("raise AgentError(", "raise ValueError(", FAILS, "gives ValueError.*: raise `AgentError`"),
    ('self.config["fails"]:', "False:", FAILS, "gives Result.*: raise `AgentError`"),
    ('f"Failed with {key}."', '" "', FAILS, "has no text"),
    ('.", secrets)', '.", secrets), retryable="yes"', FAILS, "retryable='yes'"),
    ('redact(f"{message} {key}", secrets)', "message + key", SECRETS, "shows in the content"),
    ('"tried": [1]', '"tried": key', SECRETS, "shows in the metadata"),
    ("redact(key, secrets)", "key", SECRETS, "shows in the events"),
    ('redact(f"Failed with {key}.", secrets)', "key", SECRETS, "CONTRACT shows in the error"),
    ('[Finding("key", OK, "There is a key.")]', "None", CHECKS, "returns None: return a list of"),
    ('Finding("key", OK, "There is a key.")', '"fine"', CHECKS, "return a list of `Finding`"),
]


@pytest.mark.parametrize(("sound", "broken", "promise", "says"), BROKEN)
def test_a_broken_kind_is_told_what_to_mend(install, sound, broken, promise, says):
    assert sound in SOUND
    install(SOUND.replace(sound, broken))
    promises = OnSound()
    if promise in {BEFORE, MIDDLE, AT_ONCE}:
        promises.soon = promises.patience = 1.0

    with pytest.raises(Broken, match=says):
        getattr(promises, f"test_{promise}")()


def test_a_kind_that_is_not_installed_is_missed():
    with pytest.raises(Broken, match=r"has no sound, only command, echo, .*: name the class in"):
        OnSound().test_one_entry_point_leads_to_it()


def test_two_kinds_of_one_name_are_one_too_many(install):
    install(SOUND)
    install(SOUND)

    with pytest.raises(Broken, match=r"sound is the name of kind_.* and kind_.*: choose one"):
        OnSound().test_one_entry_point_leads_to_it()
