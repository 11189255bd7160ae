"""`agent-manager backup`, and that what it makes can be gone on with."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from factories import make_run
from running import AGENT_MANAGER, Up, agent_manager
from servers import Postgres
from waiting import wait_until

from cli import backup as command
from cli.main import main
from shared.models import RunEvent
from shared.settings import environment

README = (Path(__file__).parents[2] / "README.md").read_text()
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def backup(*words: object, **environ: str | None) -> Result:
    """Run `agent-manager backup` in this process."""
    return CliRunner().invoke(main, ["backup", *map(str, words)], env=environ)


def runs_in(file: Path) -> int:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copy:
        number: int = copy.execute("SELECT COUNT(*) FROM run").fetchone()[0]
    return number


@SQLITE
def test_it_says_what_it_copied_and_where_to(database, database_url, tmp_path):
    make_run()
    file = tmp_path / "copy.db"

    said = backup(file, DATABASE_URL=database_url)

    assert said.exit_code == 0, said.output
    size = file.stat().st_size / 1_000_000
    assert said.stdout == f"Copied {tmp_path}/test.db to {file}: {size:.1f} MB, checked.\n"
    assert said.stderr == ""
    assert runs_in(file) == 1


@SQLITE
def test_a_file_that_is_there_is_replaced_by_force_only(database_url, tmp_path):
    file = tmp_path / "copy.db"
    file.write_text("precious")

    refused = backup(file, DATABASE_URL=database_url)
    forced = backup("--force", file, DATABASE_URL=database_url)

    assert (refused.exit_code, forced.exit_code) == (1, 0)
    assert refused.stderr == f"Error: {file} is there already; --force replaces it.\n"
    assert runs_in(file) == 0


def test_the_database_of_an_up_is_found_by_its_folder(sqlite_template, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "up.lock").touch()
    shutil.copy(sqlite_template, data / "agent-manager.db")

    said = backup("--data-dir", data, tmp_path / "copy.db", DATABASE_URL=None)

    assert said.exit_code == 0, said.output
    assert f"Copied {data}/agent-manager.db to" in said.stdout


def test_a_folder_in_which_there_was_no_up_is_refused_and_not_passed_over(database_url, tmp_path):
    refused = backup("--data-dir", tmp_path, tmp_path / "copy.db", DATABASE_URL=database_url)

    assert refused.exit_code == 1
    assert refused.stderr == f"Error: There has been no `agent-manager up` in {tmp_path}.\n"
    assert not (tmp_path / "copy.db").exists()


def test_a_database_that_the_new_release_has_not_migrated_yet_is_copied(tmp_path):
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("CREATE TABLE agent (id TEXT)")

    said = backup(tmp_path / "copy.db", DATABASE_URL=f"sqlite:///{tmp_path}/old.db")

    assert said.exit_code == 0, said.output


def test_where_there_is_no_database_none_is_made(tmp_path):
    refused = backup(tmp_path / "copy.db", DATABASE_URL=f"sqlite:///{tmp_path}/absent.db")

    assert refused.exit_code == 1
    assert refused.stderr == f"Error: There is no database {tmp_path}/absent.db.\n"
    assert list(tmp_path.iterdir()) == []


@SQLITE
def test_a_disk_that_is_full_is_a_sentence_and_keeps_the_last_backup(database_url, tmp_path):
    file = tmp_path / "backups" / "copy.db"
    file.parent.mkdir()
    file.write_text("the last one")
    limited = ["sh", "-c", 'ulimit -f 64; exec "$@"', "sh", *AGENT_MANAGER]

    refused = subprocess.run(
        [*limited, "backup", "--force", file],
        env=environment() | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
    )

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: The backup {file} cannot be made: ")
    assert refused.stderr.count("\n") == 1
    assert list(file.parent.iterdir()) == [file]
    assert file.read_text() == "the last one"


@SQLITE
def test_one_that_is_told_to_end_leaves_nothing(database_url, tmp_path, monkeypatch):
    write = command.backups.write

    def told_to_end(*where: Path, **how: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write(*where, **how)

    monkeypatch.setattr(command.backups, "write", told_to_end)
    ended = backup(tmp_path / "copy.db", DATABASE_URL=database_url)

    assert ended.exit_code == 1
    assert "Aborted!" in ended.stderr
    assert not list(tmp_path.glob("copy.db*"))


def test_somebody_who_looks_on_sees_how_far_a_big_one_is(sqlite_template, monkeypatch):
    monkeypatch.setattr(command, "BIG_MB", 0)
    screen, terminal = os.openpty()
    with open(terminal, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with command._shown(sqlite_template) as show:
            show(3, 4)

    seen = b""
    while b"75%" not in seen:
        seen += os.read(screen, 1000)  # Raises an error at the end.
    os.close(screen)


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("postgres://me:hush@db.internal:5433/agents", "postgres://me@db.internal:5433/agents"),
        ("postgresql://db/agents?password=hush&sslmode=require", "sslmode=require"),
        ("postgresql://me@/agents?host=/run/postgresql", "me@/agents?host=/run/postgresql"),
    ],
)
def test_for_postgresql_it_names_the_tool_without_the_password(url, bare):
    refused = backup("agents.dump", DATABASE_URL=url)

    assert refused.exit_code == 1
    assert "pg_dump --format=custom --file=agents.dump" in refused.stderr
    assert bare in refused.stderr
    assert "hush" not in refused.output
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_it_says_of_postgresql_makes_a_dump_that_can_be_gone_on_with(
    database, database_url, postgres_server, tmp_path
):
    run = make_run()
    RunEvent.create(run=run, seq=1, at=run.queued_at, attempt=1, type="log", data={})
    dump = tmp_path / "agents.dump"
    refused = backup(dump, DATABASE_URL=database_url)

    words = shlex.split(re.search(r"pg_dump .*?(?= \(it asks)", refused.stderr)[0])
    postgres_client(postgres_server, words)
    postgres_server.execute("CREATE DATABASE restored")
    restored = postgres_server.url("restored")
    pg_restore = re.search(r"^pg_restore .*$", README, re.MULTILINE)[0]
    pg_restore = pg_restore.replace('"$DATABASE_URL"', restored).replace("agents.dump", str(dump))
    postgres_client(postgres_server, shlex.split(pg_restore))

    migrated = agent_manager("migrate", DATABASE_URL=restored)
    assert migrated.stdout == "The database is up to date.\n", migrated.stderr
    with psycopg.connect(restored) as connection:
        events = connection.execute("SELECT run_id FROM run_event").fetchall()
    assert events == [(run.id,)]


def postgres_client(server: Postgres, words: list[str]) -> None:
    """Run a client program of the server's own release."""
    program, *rest = words
    subprocess.run([server.program(program), *rest], check=True, capture_output=True, timeout=60)


def test_what_was_accepted_before_a_backup_is_there_and_ends_where_it_is_restored(
    tmp_path, monkeypatch
):
    for name, seconds in [("RUN_LEASE", 2), ("HEARTBEAT_INTERVAL", 0.5), ("RESEND_AFTER", 1)]:
        monkeypatch.setenv(f"AGENT_MANAGER_{name}", str(seconds))
    file, leave = tmp_path / "second" / "agents-2027-01-31.db", tmp_path / "leave"
    file.parent.mkdir()
    until_it_may = {"argv": ["sh", "-c", f"until [ -e {leave} ]; do sleep 0.1; done"]}

    with Up(tmp_path / "first" / "data") as up, Api(up.wait_until_ready()) as api:
        waiting = {"id": "waiting", "name": "W", "kind": "command", "config": until_it_may}
        assert api.call("POST", "/agents", waiting)[0] == 201
        running = api.make_run("waiting")
        api.wait_for(running, "RUNNING")
        with writing(up, threads=3) as accepted:
            wait_until(lambda: len(accepted) > 100, "the writers to be in full swing", timeout=30)
            before = [running, *accepted]
            said = agent_manager("backup", "--data-dir", up.data_dir, file)
        assert said.returncode == 0, said.stderr
        up.stop(signal.SIGKILL)

    restore = re.search(r"^mkdir -p .*?(?=^agent-manager up)", README, re.MULTILINE | re.DOTALL)[0]
    subprocess.run(["sh", "-e", "-c", restore], cwd=file.parent, check=True)
    leave.touch()
    with Up(file.parent / "data") as up, Api(up.wait_until_ready()) as api:
        for run_id in before:
            api.wait_for(run_id, "COMPLETED")
        assert api.run(running)["attempt"] == 2


@contextmanager
def writing(up: Up, *, threads: int) -> Iterator[list[str]]:
    """Have runs made all the time; the ids of those that were accepted."""
    accepted: list[str] = []
    done = threading.Event()

    def write() -> None:
        with Api(up) as api:
            while not done.is_set():
                accepted.append(api.make_run("finance_agent"))

    with ThreadPoolExecutor(threads) as pool:
        writers = [pool.submit(write) for _ in range(threads)]
        try:
            yield accepted
        finally:
            done.set()
        for writer in writers:
            writer.result(30)


class Api:
    """A connection to the API of an `up`."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._connection = HTTPConnection("127.0.0.1", up.port, timeout=30)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request with the admin's token; its status, and the JSON of its answer."""
        headers = {"Authorization": f"Bearer {self._up.token}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", text, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def make_run(self, agent: str) -> str:
        """Have a run made; its id."""
        status, answer = self.call("POST", f"/agents/{agent}/runs/background", {"message": "Go"})
        assert status == 202, answer
        run_id: str = answer["runId"]
        return run_id

    def run(self, run_id: str) -> Any:
        """The run."""
        status, run = self.call("GET", f"/runs/{run_id}")
        assert status == 200, run
        return run

    def wait_for(self, run_id: str, status: str) -> None:
        """Wait until the run has that status."""
        what = f"run {run_id} to be {status}"
        wait_until(lambda: self.run(run_id)["status"] == status, what, timeout=30)
