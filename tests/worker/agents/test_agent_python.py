import textwrap
import time
from decimal import Decimal

import pytest
from marshmallow import ValidationError
from waiting import wait_until

from shared.states import ErrorCode
from worker.agents.protocol import AgentError, Stopped
from worker.agents.python import PythonAgent, PythonSchema
from worker.agents.stop import Stop, StopReason


@pytest.fixture
def make_function(make, tmp_path):
    """Makes an agent of the function `run` in a module of that source."""

    def make_function(source: str, **config):
        (tmp_path / "mine.py").write_text(textwrap.dedent(source))
        return make(PythonAgent, **{"entry": "mine:run", "path": str(tmp_path), **config})

    return make_function


def test_a_function_is_called_with_the_message(make_function, make_context):
    agent = make_function("def run(message): return message.upper()")

    assert agent.run("grüße", make_context()).content == "GRÜSSE"


def test_a_coroutine_is_awaited(make_function, make_context):
    agent = make_function("""
        import asyncio
        async def run(message):
            await asyncio.sleep(0)
            return f"awaited {message}"
    """)

    assert agent.run("me", make_context()).content == "awaited me"


@pytest.mark.parametrize(
    "signature",
    ["message, context", "message, about", "message, context=None", "*both", "message, about, /"],
)
def test_a_second_parameter_is_given_the_context(make_function, make_context, signature):
    names = signature.replace("*both", "message, context").replace(", /", "").replace("=None", "")
    agent = make_function(f"""
        def run({signature}):
            {"message, context = both" if signature == "*both" else "pass"}
            return {names.split(", ")[1]}["runId"] + " " + str({names.split(", ")[1]}["attempt"])
    """)

    content = agent.run("", make_context(attempt=2)).content

    assert content == "0197a3f0-0000-7000-8000-000000000001 2"


def test_a_second_parameter_with_a_default_is_the_functions_own(make_function, make_context):
    agent = make_function("def run(message, temperature=0.2): return str(temperature)")

    assert agent.run("", make_context()).content == "0.2"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("None", ""),
        ("{'a': ['ü', 1, None]}", '{"a": ["ü", 1, null]}'),
        ("[1, 2]", "[1, 2]"),
        ("42", "42"),
        (r"'a\0\ud800'", "a\N{REPLACEMENT CHARACTER}?"),
    ],
)
def test_what_it_returns_becomes_text(make_function, make_context, value, content):
    assert make_function(f"def run(_): return {value}").run("", make_context()).content == content


def test_it_can_say_what_it_cost(make_function, make_context):
    agent = make_function("""
        from decimal import Decimal
        def run(_):
            usage = {"inputTokens": 12, "outputTokens": 3, "costUsd": Decimal("0.0015")}
            return {"content": "hello", "model": "a-model", "usage": usage}
    """)

    result = agent.run("", make_context())

    assert (result.content, result.model) == ("hello", "a-model")
    assert (result.input_tokens, result.output_tokens) == (12, 3)
    assert result.cost_usd == Decimal("0.0015")


def test_usage_that_makes_no_sense_is_left_out(make_function, make_context):
    agent = make_function("""
        def run(_): return {"content": "x", "model": object(), "usage": {
            "inputTokens": -1, "outputTokens": object(), "costUsd": float("nan")}}
    """)

    result = agent.run("", make_context())

    assert result.content == "x"
    assert (result.input_tokens, result.output_tokens, result.cost_usd) == (None, None, None)


def test_what_it_prints_is_a_log_and_no_answer(make_function, make_context, reports):
    agent = make_function("""
        import os, subprocess, sys
        print("while importing")
        def run(message):
            print("by print")
            os.write(1, b"by descriptor\\n")
            subprocess.run(["echo", "by a child"])
            sys.__stdout__.write("by the original\\n")
            return "the answer"
    """)

    content = agent.run("", make_context()).content

    assert content == "the answer"
    assert [data["text"] for _, data in reports] == [
        "while importing",
        "by print",
        "by descriptor",
        "by a child",
        "by the original",
    ]


def test_it_has_no_standard_input_to_wait_for(make_function, make_context):
    agent = make_function("import sys\ndef run(_): return repr(sys.stdin.read())")

    assert agent.run("hello", make_context()).content == "''"


def test_an_exception_is_the_error_and_its_traceback_a_log(make_function, make_context, reports):
    agent = make_function("""
        def run(message):
            raise LookupError("no such account")
    """)

    with pytest.raises(AgentError) as raised:
        agent.run("", make_context())

    assert str(raised.value) == "LookupError: no such account"
    assert not raised.value.retryable
    (kind, data), *others = reports
    assert (kind, data["stream"], others) == ("log", "traceback", [])
    assert 'raise LookupError("no such account")' in data["text"]


def test_an_exception_can_ask_for_a_retry(make_function, make_context):
    agent = make_function("""
        class Busy(Exception):
            retryable = True
        async def run(message):
            raise Busy("try later")
    """)

    with pytest.raises(AgentError, match="Busy: try later") as raised:
        agent.run("", make_context())

    assert raised.value.retryable


def test_leaving_the_process_is_a_failure_too(make_function, make_context):
    with pytest.raises(AgentError, match="SystemExit: 0"):
        make_function("import sys\ndef run(_): sys.exit(0)").run("", make_context())


def test_a_process_that_dies_is_explained(make_function, make_context):
    agent = make_function("""
        import os
        def run(_):
            os.write(2, b"out of paper")
            os._exit(3)
    """)

    with pytest.raises(AgentError) as raised:
        agent.run("", make_context())

    assert str(raised.value) == (
        "The function's process exited with code 3 before it returned: out of paper."
    )


def test_a_process_that_crashes_is_explained(make_function, make_context):
    agent = make_function("import os\ndef run(_): os.kill(os.getpid(), 9)")

    with pytest.raises(AgentError, match="killed by SIGKILL before it returned"):
        agent.run("", make_context())


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("yours:run", "There is no module yours in "),
        ("mine.deep:run", "There is no module mine.deep in "),
        ("mine:walk", "The module mine has no function walk"),
        ("mine:VALUE", "The module mine has no function VALUE"),
    ],
)
def test_a_function_that_is_not_there_is_named(make_function, make_context, entry, says):
    agent = make_function("VALUE = 1", entry=entry)

    with pytest.raises(AgentError, match=says):
        agent.run("", make_context())


def test_a_dependency_that_is_not_there_is_named(make_function, make_context):
    agent = make_function("import no_such_dependency")

    with pytest.raises(AgentError, match="ModuleNotFoundError: No module named 'no_such_dep"):
        agent.run("", make_context())


def test_a_directory_that_is_not_there_is_named(make_function, make_context):
    agent = make_function("", path="/no/such/place")

    with pytest.raises(AgentError, match="no directory /no/such/place"):
        agent.run("", make_context())


def test_what_is_neither_text_nor_json_is_an_error(make_function, make_context):
    with pytest.raises(AgentError, match="TypeError: Object of type object is not JSON"):
        make_function("def run(_): return object()").run("", make_context())


def test_our_own_modules_are_not_in_the_way(make_function, make_context, tmp_path):
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("WHOSE = 'mine'")
    agent = make_function("""
        import http, worker
        def run(_): return f"{http.HTTPStatus.OK:d} {worker.WHOSE}"
    """)

    assert agent.run("", make_context()).content == "200 mine"


def test_secrets_go_in_and_show_nowhere(make_function, make_context, reports):
    source = """
        import os
        def run(message):
            print("with", os.environ["KEY"])
            if message: raise ValueError(os.environ["KEY"])
            return os.environ["KEY"] * 2
    """
    agent = make_function(source, env={"KEY": "${secret:KEY}"})
    context = make_context(secrets={"KEY": "sesame42"})

    content = agent.run("", context).content
    with pytest.raises(AgentError) as raised:
        agent.run("fail", context)

    assert content == "******"
    assert str(raised.value) == "ValueError: ***"
    assert "sesame42" not in str(reports)
    assert len(reports) == 3


def test_a_long_answer_is_cut(make_function, make_context):
    agent = make_function("def run(_): return 'begin' + 'x' * 10_000 + 'end'")

    content = agent.run("", make_context(output_limit=1000)).content

    assert content.startswith("begin")
    assert "[… 9,008 bytes cut …]" in content
    assert content.endswith("end")


def test_a_flood_is_stopped(make_function, make_context):
    agent = make_function("def run(_): return 'x' * 10_000_000")

    with pytest.raises(AgentError) as raised:
        agent.run("", make_context(output_limit=1000))

    assert raised.value.code is ErrorCode.OUTPUT_TOO_LARGE


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_stop_ends_the_function_at_once(make_function, make_context, start, tmp_path, kind):
    context, told = make_context(stop=Stop()), tmp_path / "told"
    agent = make_function(f"""
        import time
        {kind} run(message):
            open(message, "w").close()
            time.sleep(600)
    """)
    running = start(agent, str(told), context)
    wait_until(told.exists, "the function to have begun")

    begun = time.monotonic()
    context.stop.set(StopReason.TIMEOUT)

    with pytest.raises(Stopped):
        running.result(timeout=5)
    assert time.monotonic() - begun < 0.5


def test_threads_that_are_left_behind_may_finish(make_function, make_context, tmp_path):
    agent = make_function("""
        import threading, time
        def late(path):
            time.sleep(0.2)
            open(path, "w").close()
        def run(message):
            threading.Thread(target=late, args=(message,)).start()
            return "answered"
    """)

    content = agent.run(str(tmp_path / "finished"), make_context()).content

    assert content == "answered"
    assert (tmp_path / "finished").exists()


def test_a_configuration_can_be_loaded_again_and_again():
    loaded = PythonSchema().load({"entry": "a.b:c", "env": {"A": "b"}})

    assert PythonSchema().load({"entry": "a.b:c", "env": {"A": "b"}}) == loaded
    assert PythonAgent.admin_only


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({}, "entry", "package.module:function"),
        ({"entry": "a.b"}, "entry", "package.module:function"),
        ({"entry": "a:b()"}, "entry", "package.module:function"),
        ({"entry": "a..b:c"}, "entry", "package.module:function"),
        ({"entry": "a:b\n"}, "entry", "package.module:function"),
        ({"entry": "a:b", "path": ""}, "path", "1 to 4,096"),
        ({"entry": "a:b", "argv": ["x"]}, "argv", "there are entry, env, max"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_cure(config, field, says):
    with pytest.raises(ValidationError) as raised:
        PythonSchema().load(config)

    assert says in str(raised.value.messages_dict[field])
