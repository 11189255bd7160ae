"""`agent-manager up`, as the person meets it who types it."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import Up, agent_manager, free_port
from waiting import wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An `up` for the tests that leave it as it is."""
    with Up(tmp_path_factory.mktemp("up") / "data") as up:
        yield up.wait_until_ready()


def get(up: Up, path: str) -> tuple[int, Any]:
    """The status and the body that the api answers with."""
    with closing(HTTPConnection("127.0.0.1", up.port, timeout=10)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {up.token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def answers(up: Up) -> bool:
    """Whether the api is there."""
    with suppress(ConnectionError):
        return get(up, "/healthz")[0] == 200
    return False


def gone(family: list[Any]) -> bool:
    """Whether none of the processes is left."""
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)


def test_the_api_answers_the_printed_token(running):
    status, body = get(running, "/api/v1/agents")

    assert status == 200
    assert "finance_agent" in {agent["id"] for agent in json.loads(body)["content"]}
    assert running.token in running.output()


@pytest.mark.skipif(shutil.which("curl") is None, reason="pastes curl commands")
def test_the_printed_commands_work_when_pasted(running):
    commands = running.output().partition("export ")[1:]
    script = "".join(commands).partition("  Ctrl-C")[0]

    pasted = subprocess.run(["sh", "-e"], input=script, capture_output=True, text=True, check=True)

    made, end = json.JSONDecoder().raw_decode(pasted.stdout)
    assert made["agentId"] == "finance_agent"
    assert json.loads(pasted.stdout[end:])["number"] == 0


def test_the_data_are_for_their_owner_only(running):
    directory, token = running.data_dir, running.data_dir / "admin-token"

    assert directory.stat().st_mode & 0o777 == 0o700
    assert token.stat().st_mode & 0o777 == 0o600


def test_lines_carry_the_aligned_name_of_who_says_them_and_no_colour(running):
    running.wait_for_line(r"(?m)^      worker │ .*started")
    running.wait_for_line(r"(?m)^batch-worker │ .*started: 8 threads for queue local")
    running.wait_for_line(r"(?m)^   scheduler │ .*started")

    assert "\x1b" not in running.output()


def test_a_second_up_on_the_same_data_is_refused(running):
    second = agent_manager("up", "--data-dir", running.data_dir, "--port", free_port())

    assert second.returncode == 1
    assert f"in use by another `agent-manager up`, process {running.process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1


def test_a_port_in_use_is_refused_before_anything_is_started(running, tmp_path):
    second = agent_manager("up", "--data-dir", tmp_path / "data", "--port", running.port)

    assert second.returncode == 1
    assert f"Port {running.port} on 127.0.0.1 is in use" in second.stderr
    assert "--port" in second.stderr
    assert not (tmp_path / "data" / "agent-manager.db").exists()


@pytest.mark.parametrize("command", ["-m gunicorn", "-m scheduler", "-m worker", "valkey-server"])
def test_what_dies_is_started_again(running, command):
    before = running.children(command)
    victim = before[0]
    died = running.output().count("died of SIGKILL; starting again in")

    victim.kill()

    def another() -> bool:
        return any(each not in before for each in running.children(command))

    wait_until(another, f"another {command}", timeout=20)
    wait_until(lambda: answers(running), "the api to answer")
    assert running.output().count("died of SIGKILL; starting again in") == died + 1


def test_ctrl_c_stops_everything(tmp_path):
    with Up(tmp_path / "data", "--workers", 2) as up:
        family = up.wait_until_ready().family()
        up.wait_for_line("worker-2 │ ")

        code = up.stop(signal.SIGINT)

        assert code == 0
        assert up.output().endswith("\nAgent Manager has stopped.\n")
        assert "Traceback" not in up.output()
        assert len(family) >= 5
        assert gone(family)


def test_a_stop_during_the_start_leaves_nothing(tmp_path):
    with Up(tmp_path / "data") as up:
        wait_until((tmp_path / "data" / "valkey.sock").exists, "the first server", timeout=30)
        family = up.family()

        code = up.stop(signal.SIGTERM)

        assert code == 0
        assert gone(family)


def test_a_second_start_keeps_the_token_and_the_data(tmp_path):
    with Up(tmp_path / "data") as up:
        before = up.wait_until_ready().token
        up.stop(signal.SIGTERM)

    with Up(tmp_path / "data") as up:
        up.wait_until_ready()

        assert up.token == before
        assert "The database is up to date." in up.output()
        assert get(up, "/api/v1/agents")[0] == 200


def test_after_a_kill_the_next_up_takes_over(tmp_path):
    with Up(tmp_path / "data") as up:
        family = up.wait_until_ready().family()
        up.stop(signal.SIGKILL)

    with Up(tmp_path / "data") as up:
        up.wait_until_ready()

        assert get(up, "/api/v1/agents")[0] == 200
        wait_until(lambda: gone(family), "the orphans of the killed `up` to end")


def test_a_data_directory_with_a_long_name_works(tmp_path):
    long_name = tmp_path / ("x" * 100) / "data"

    with Up(long_name) as up:
        up.wait_until_ready()
        code = up.stop(signal.SIGINT)

    assert code == 0


def test_a_queue_file_that_cannot_be_read_is_a_sentence_in_its_servers_words(tmp_path):
    files = tmp_path / "data" / "valkey" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (files / "appendonly.aof.1.incr.aof").write_text("nonsense")

    again = agent_manager("up", "--data-dir", tmp_path / "data", "--port", free_port())

    assert again.returncode == 1
    assert "Valkey did not start: " in again.stderr
    assert "Bad file format" in again.stderr
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data-dir", __file__), "cannot be used"),
        (("--host", "host.invalid"), "Nothing can listen on host.invalid"),
        (("--port", 65536), "PORT must be from 1 to 65535"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(tmp_path, words, says):
    refused = agent_manager("up", "--data-dir", tmp_path / "data", *words)

    assert refused.returncode == 1
    assert says in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_wrong_setting_is_refused_with_a_sentence(tmp_path):
    refused = agent_manager(
        "up", "--data-dir", tmp_path / "data", AGENT_MANAGER_RUN_LEASE="forever"
    )

    assert refused.returncode == 1
    assert "AGENT_MANAGER_RUN_LEASE must be a number of seconds" in refused.stderr


def test_a_wrong_option_is_a_usage_error(tmp_path):
    refused = agent_manager("up", "--data-dir", tmp_path, "--port", "http")

    assert refused.returncode == 2


def test_a_relative_database_url_means_one_file_to_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///here.db")

    with Up(tmp_path / "data") as up:
        up.wait_until_ready()

        assert get(up, "/api/v1/agents")[0] == 200
    assert (tmp_path / "here.db").exists()
    assert not list((tmp_path / "data").glob("*.db"))


def test_an_address_of_ipv6_works(tmp_path):
    with Up(tmp_path / "data", "--host", "::1") as up:
        up.wait_until_ready()

        assert f"http://[::1]:{up.port}/api/v1/docs" in up.output()


def test_it_does_not_mistake_the_users_files_for_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("api", "gunicorn", "scheduler", "shared", "worker"):
        Path(f"{name}.py").write_text("raise SystemExit('somebody else')")

    with Up(tmp_path / "data") as up:
        up.wait_until_ready()

        assert "somebody else" not in up.output()


def test_a_compute_profile_that_is_not_there_is_refused_with_a_sentence(tmp_path):
    refused = agent_manager("up", "--data-dir", tmp_path / "data", AGENT_MANAGER_COMPUTE="nowhere")

    assert refused.returncode == 1
    assert "There is no compute profile 'nowhere'; use local." in refused.stderr
    assert "is running" not in refused.stdout


def test_it_also_works_for_the_compute_profile_that_is_named(tmp_path, monkeypatch):
    data = tmp_path / "data"
    file = tmp_path / "compute.toml"
    file.write_text("[spot-large]\n")
    with Up(data) as up:
        up.wait_until_ready()
    agent_manager("compute", "apply", file, "--data-dir", data)
    monkeypatch.setenv("AGENT_MANAGER_COMPUTE", "spot-large")

    with Up(data) as up:
        up.wait_until_ready()
        wait_until(lambda: up.output().count("threads for queue") == 3, "three workers", timeout=30)

        assert "8 threads for queue spot-large" in up.output()
        assert "8 threads for queue local" in up.output()
