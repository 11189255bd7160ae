import os
import shutil
import sys
import textwrap
import threading
import time
from contextlib import suppress

import pytest
from marshmallow import ValidationError
from waiting import wait_until

from shared.states import ErrorCode
from worker.agents import surroundings
from worker.agents.command import CommandAgent, CommandSchema
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop, StopReason


def python(code: str, *arguments: str) -> list[str]:
    """An argv that runs *code*."""
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


def alive(pid: int) -> bool:
    """Whether a process of that number runs, zombies not counted."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def written(path) -> str:
    """What the file holds, once a program has written a whole line to it."""

    def line() -> str | None:
        text = path.read_text() if path.exists() else ""
        return text if text.endswith("\n") else None

    return wait_until(line, f"a line in {path}").strip()


def test_the_message_goes_in_and_what_is_printed_comes_out(make, make_context):
    agent = make(CommandAgent, argv=["tr", "a-z", "A-Z"])

    result = agent.run("grüße, world", make_context())

    assert result.content == "GRüßE, WORLD"


def test_no_shell_reads_the_arguments(make, make_context):
    agent = make(CommandAgent, argv=["echo", "$HOME; `id` && *"])

    result = agent.run("", make_context())

    assert result.content == "$HOME; `id` && *\n"


def test_a_long_message_is_written_while_the_answer_is_read(make, make_context):
    message = "0123456789abcdef" * 65_536

    result = make(CommandAgent, argv=["cat"]).run(message, make_context())

    assert result.content == message


def test_a_program_need_not_read_its_message(make, make_context):
    agent = make(CommandAgent, argv=python("import os; os.close(0); print('done')"))

    result = agent.run("x" * 1_000_000, make_context())

    assert result.content == "done\n"


def test_it_knows_its_attempt_and_nothing_of_the_worker(make, make_context, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    agent = make(CommandAgent, argv=["/usr/bin/env"], env={"GREETING": "hello ${secret:NAME}"})

    result = agent.run("", make_context(attempt=3, secrets={"NAME": "you"}))

    assert sorted(result.content.splitlines()) == [
        "AGENT_ATTEMPT=3",
        "AGENT_DEADLINE=2030-01-01T12:00:00Z",
        "AGENT_ID=tester",
        "AGENT_RUN_ID=0197a3f0-0000-7000-8000-000000000001",
        "GREETING=hello you",
        "PATH=/usr/local/bin:/usr/bin:/bin",
    ]


def test_it_runs_where_it_is_told_to(make, make_context, tmp_path):
    result = make(CommandAgent, argv=["pwd"], cwd=str(tmp_path)).run("", make_context())

    assert result.content == f"{tmp_path}\n"


def test_a_program_is_found_from_where_it_runs(make, make_context, tmp_path):
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)

    result = make(CommandAgent, argv=["./agent"], cwd=str(tmp_path)).run("", make_context())

    assert result.content == "found\n"


def test_a_failure_has_its_code_and_the_last_words(make, make_context):
    agent = make(CommandAgent, argv=["sh", "-c", "echo no such account >&2; exit 3"])

    with pytest.raises(AgentError) as raised:
        agent.run("", make_context())

    assert str(raised.value) == "The program exited with code 3: no such account."
    assert not raised.value.retryable


def test_exit_code_75_asks_for_a_retry(make, make_context):
    with pytest.raises(AgentError, match="code 75") as raised:
        make(CommandAgent, argv=["sh", "-c", "exit 75"]).run("", make_context())

    assert raised.value.retryable


def test_a_crash_has_the_name_of_its_signal(make, make_context):
    with pytest.raises(AgentError, match="killed by SIGSEGV, and gave no reason") as raised:
        make(CommandAgent, argv=["sh", "-c", "kill -SEGV $$"]).run("", make_context())

    assert not raised.value.retryable


def test_only_the_end_of_a_long_complaint_is_kept(make, make_context):
    agent = make(CommandAgent, argv=python("raise SystemExit('x' * 100_000 + 'the end')"))

    with pytest.raises(AgentError) as raised:
        agent.run("", make_context())

    assert str(raised.value).endswith("xxxthe end.")
    assert len(str(raised.value)) < 2200


def test_a_missing_program_is_named(make, make_context):
    with pytest.raises(AgentError, match="no program no-such-program that it may execute"):
        make(CommandAgent, argv=["no-such-program"]).run("", make_context())


def test_a_file_that_is_not_executable_is_named(make, make_context, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(AgentError, match=r"no program \./notes\.txt that it may execute"):
        make(CommandAgent, argv=["./notes.txt"], cwd=str(tmp_path)).run("", make_context())


def test_a_missing_directory_is_named(make, make_context):
    with pytest.raises(AgentError, match="no directory /no/such/place"):
        make(CommandAgent, argv=["true"], cwd="/no/such/place").run("", make_context())


def test_complaints_become_events(make, make_context, reports):
    agent = make(CommandAgent, argv=["sh", "-c", "echo one >&2; printf two >&2"])

    agent.run("", make_context())

    assert reports == [
        ("log", {"stream": "stderr", "text": "one"}),
        ("log", {"stream": "stderr", "text": "two"}),
    ]


def test_many_and_long_complaints_become_few_and_short_events(make, make_context, reports):
    code = "import sys\nfor n in range(5000): print('x' * 5000, file=sys.stderr)"

    make(CommandAgent, argv=python(code)).run("", make_context())

    texts = [data["text"] for _, data in reports]
    assert len(texts) == 101
    assert max(len(text) for text in texts) == 1025
    assert texts[-1] == "[… only the first 100 lines are kept …]"


def test_secrets_show_nowhere(make, make_context, reports):
    agent = make(
        CommandAgent,
        argv=["sh", "-c", "echo is $KEY; echo was $KEY >&2; exit $CODE"],
        env={"KEY": "${secret:KEY}", "CODE": "0"},
    )
    failing = make(
        CommandAgent,
        argv=["sh", "-c", "echo was $KEY >&2; exit 1"],
        env={"KEY": "${secret:KEY}"},
    )
    context = make_context(secrets={"KEY": "sesame42"})

    content = agent.run("", context).content
    with pytest.raises(AgentError) as raised:
        failing.run("", context)

    assert content == "is ***\n"
    assert str(raised.value) == "The program exited with code 1: was ***."
    assert [data["text"] for _, data in reports] == ["was ***", "was ***"]


def test_an_unknown_secret_starts_nothing(make, make_context, tmp_path):
    agent = make(CommandAgent, argv=["touch", str(tmp_path / "ran")], env={"A": "${secret:NONE}"})

    with pytest.raises(AgentError, match="no secret NONE"):
        agent.run("", make_context())

    assert not (tmp_path / "ran").exists()


def test_a_long_answer_is_cut(make, make_context):
    agent = make(CommandAgent, argv=python("print('begin' + 'x' * 20_000 + 'end')"))

    content = agent.run("", make_context(output_limit=1000)).content

    assert content.startswith("begin")
    assert "[… 19,009 bytes cut …]" in content
    assert content.endswith("end\n")


def test_a_flood_is_stopped(make, make_context):
    with pytest.raises(AgentError) as raised:
        make(CommandAgent, argv=["yes"]).run("", make_context(output_limit=10_000))

    assert raised.value.code is ErrorCode.OUTPUT_TOO_LARGE
    assert not raised.value.retryable


def test_a_stop_ends_the_program_at_once(make, make_context, start, tmp_path):
    context, told = make_context(stop=Stop()), tmp_path / "pid"
    agent = make(CommandAgent, argv=["sh", "-c", f"echo $$ > {told}; exec sleep 600"])
    running = start(agent, "", context)
    pid = int(written(told))

    begun = time.monotonic()
    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=5)
    assert time.monotonic() - begun < 0.5
    assert not alive(pid)


def test_a_stop_that_came_before_starts_nothing(make, make_context, tmp_path):
    context = make_context(stop=Stop())
    context.stop.set(StopReason.DRAINED)

    with pytest.raises(Stopped):
        make(CommandAgent, argv=["touch", str(tmp_path / "ran")]).run("", context)

    assert not (tmp_path / "ran").exists()


def test_a_program_has_a_second_to_tidy_up(make, make_context, start, tmp_path):
    context, told, tidied = make_context(stop=Stop()), tmp_path / "told", tmp_path / "tidied"
    code = """
        import signal, sys, time
        def tidy(*_):
            time.sleep(0.2)
            open(sys.argv[2], "w").write("tidied\\n")
            sys.exit()
        signal.signal(signal.SIGTERM, tidy)
        open(sys.argv[1], "w").write("ready\\n")
        time.sleep(600)
    """
    # The shell goes at once; what it has started still gets its second.
    shell = ["sh", "-c", '"$@"; true', "sh", *python(code, str(told), str(tidied))]
    running = start(make(CommandAgent, argv=shell), "", context)
    written(told)

    context.stop.set(StopReason.TIMEOUT)

    with pytest.raises(Stopped):
        running.result(timeout=5)
    assert tidied.exists()


def test_a_program_that_will_not_go_is_killed(make, make_context, start, tmp_path):
    context, told = make_context(stop=Stop()), tmp_path / "pid"
    agent = make(
        CommandAgent,
        argv=["sh", "-c", f"trap '' TERM; echo $$ > {told}; while true; do sleep 1; done"],
    )
    running = start(agent, "", context)
    pid = int(written(told))

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=3)
    assert not alive(pid)


def test_what_a_program_leaves_behind_is_killed_and_not_waited_for(make, make_context, tmp_path):
    told = tmp_path / "pid"
    agent = make(CommandAgent, argv=["sh", "-c", f"sleep 600 & echo $! > {told}; echo done"])

    begun = time.monotonic()
    content = agent.run("", make_context()).content

    assert content == "done\n"
    assert time.monotonic() - begun < 2
    pid = int(written(told))
    wait_until(lambda: not alive(pid), "the end of what was left behind")


def test_an_escaped_grandchild_cannot_hold_the_answer_back(make, make_context, tmp_path):
    told = tmp_path / "pid"
    agent = make(
        CommandAgent,
        argv=[
            "sh",
            "-c",
            f"setsid sh -c 'echo $$ > {told}; exec sleep 600' & "
            f"while ! test -s {told}; do sleep 0.01; done; echo done",
        ],
    )

    content = agent.run("", make_context()).content

    pid = int(written(told))
    os.kill(pid, 9)
    assert content == "done\n"


def test_a_last_word_as_long_as_a_pipe_is_read_to_its_end(make, make_context):
    agent = make(CommandAgent, argv=["head", "-c", "65536", "/dev/zero"])

    content = agent.run("", make_context()).content

    assert len(content) == 65_536


def test_nothing_is_left_open_or_running(make, make_context):
    agent = make(CommandAgent, argv=["cat"])
    agent.run("warm up", make_context())
    open_before, threads_before = len(os.listdir("/dev/fd")), threading.active_count()

    for _ in range(20):
        agent.run("again", make_context())

    assert len(os.listdir("/dev/fd")) <= open_before
    wait_until(lambda: threading.active_count() <= threads_before, "the end of the threads")


def test_many_run_side_by_side(make, make_context, start):
    agent = make(CommandAgent, argv=["sh", "-c", "cat; exit 0"])

    running = [start(agent, f"message {n}", make_context()) for n in range(32)]

    assert [each.result(20).content for each in running] == [f"message {n}" for n in range(32)]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_program_cannot_gain_privileges(make, make_context):
    content = make(CommandAgent, argv=["cat", "/proc/self/status"]).run("", make_context()).content

    assert "NoNewPrivs:\t1" in content


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_program_dies_with_its_worker(tmp_path):
    told = tmp_path / "pid"
    worker = f"""
        import datetime, uuid
        from worker.agents.command import CommandAgent
        from worker.agents.protocol import Context
        from worker.agents.stop import Stop
        config = {{"argv": ["sh", "-c", "echo $$ > {told}; exec sleep 600"]}}
        CommandAgent(CommandAgent.config_schema().load(config)).run("", Context(
            run_id=uuid.uuid4(), agent_id="a", session_id=uuid.uuid4(), attempt=1, stop=Stop(),
            report=print, use=print, keep=print,
            deadline=datetime.datetime.now(datetime.UTC)))
    """
    parent = os.spawnv(os.P_NOWAIT, sys.executable, python(worker))
    pid = int(written(told))

    os.kill(parent, 9)
    os.waitpid(parent, 0)

    try:
        wait_until(lambda: not alive(pid), "the end of the program")
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def test_it_works_without_the_programs_that_guard_it(make, make_context, monkeypatch):
    monkeypatch.setattr(surroundings.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(surroundings, "_setpriv", lambda: ())
    monkeypatch.setattr(CommandAgent, "_look_for_program", lambda *_: None)

    content = make(CommandAgent, argv=["cat"]).run("hello", make_context()).content

    assert content == "hello"


def test_it_does_not_run_without_a_limit_that_it_cannot_keep(make, make_context, monkeypatch):
    agent = make(CommandAgent, argv=["cat"], maxMemoryMb=64)
    which = shutil.which
    monkeypatch.setattr(
        surroundings.shutil,
        "which",
        lambda name, **o: None if name == "prlimit" else which(name, **o),
    )

    with pytest.raises(AgentError, match="cannot keep maxMemoryMb") as raised:
        agent.run("", make_context())

    assert raised.value.code is ErrorCode.REJECTED


def test_it_works_where_a_process_cannot_be_awaited_without_reaping_it(
    make, make_context, monkeypatch
):
    monkeypatch.delattr(os, "waitid")

    content = make(CommandAgent, argv=["cat"]).run("hello", make_context()).content

    assert content == "hello"


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit")
@pytest.mark.parametrize(
    ("limit", "code", "says"),
    [
        ({"maxMemoryMb": 256}, "bytearray(512 * 2**20)", "MemoryError"),
        ({"maxCpuSeconds": 1}, "while True: pass", "killed by SIGXCPU"),
        ({"maxFileMb": 1}, "open(f'{d}/big', 'wb').write(bytes(2 * 2**20))", "File too large"),
    ],
    ids=["memory", "cpu", "file"],
)
def test_a_limit_is_kept(make, make_context, tmp_path, limit, code, says):
    agent = make(CommandAgent, argv=python(f"d = '{tmp_path}'\n{code}"), **limit)

    with pytest.raises(AgentError, match=says):
        agent.run("", make_context())


def test_a_raw_configuration_can_be_loaded_again_and_again():
    raw = {"argv": ["cat", "-n"], "env": {"A": "${secret:B}"}, "maxCpuSeconds": 5}

    first, second = CommandSchema().load(raw), CommandSchema().load(raw)

    assert first == second
    assert raw == {"argv": ["cat", "-n"], "env": {"A": "${secret:B}"}, "maxCpuSeconds": 5}
    assert CommandSchema().load(first | {"maxMemoryMb": 64, "maxFileMb": 1, "cwd": "/"})


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({}, "argv", 'as in ["python3", "agent.py"]'),
        ({"argv": "rm -rf /"}, "argv", "no shell reads it"),
        ({"argv": []}, "argv", "Give the program"),
        ({"argv": ["x"] * 101}, "argv", "at most 99 arguments"),
        ({"argv": [""]}, "argv", "1 to 32,768 characters"),
        ({"argv": ["a\0b"]}, "argv", "Remove the NUL"),
        ({"argv": [7]}, "argv", "Give a text"),
        ({"argv": ["curl", "${secret:A}"]}, "argv", "A secret would show here"),
        ({"argv": ["x"], "env": {"LD_PRELOAD": "x"}}, "env", "reserved"),
        ({"argv": ["x"], "env": {"agent_run_id": "x"}}, "env", "reserved"),
        ({"argv": ["x"], "env": {"A=B": "x"}}, "env", "letters, digits and _"),
        ({"argv": ["x"], "env": {"A": "${secret:}"}}, "env", "${secret:NAME}"),
        ({"argv": ["x"], "env": {"A": "a\0"}}, "env", "Remove the NUL"),
        ({"argv": ["x"], "env": {"A": 1}}, "env", "Give a text"),
        ({"argv": ["x"], "env": ["A"]}, "env", "Give an object"),
        ({"argv": ["x"], "maxMemoryMb": 1}, "maxMemoryMb", "from 16 to"),
        ({"argv": ["x"], "maxCpuSeconds": 1.5}, "maxCpuSeconds", "from 1 to 86,400"),
        ({"argv": ["x"], "maxCpuSeconds": 10**30}, "maxCpuSeconds", "from 1 to 86,400"),
        ({"argv": ["x"], "shell": True}, "shell", "no such option"),
        ({"argv": ["x"], "cwd": ""}, "cwd", "1 to 4,096 characters"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_cure(config, field, says):
    with pytest.raises(ValidationError) as raised:
        CommandSchema().load(config)

    assert says in str(raised.value.messages_dict[field])


def test_only_an_admin_may_have_one():
    assert CommandAgent.admin_only
