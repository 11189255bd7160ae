"""`agent-manager doctor`: a line for each thing, whatever is broken."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from peewee import Database
from servers import Valkey

from cli import datadir, target
from cli.doctor import WIDTH
from cli.main import main
from shared import clock, db, migrations, processes, zone_data
from shared.db import stamp
from shared.models import Tally
from shared.processes import Alive
from shared.settings import Settings
from shared.tally import Count


@pytest.fixture(autouse=True)
def _fresh_zone_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone_data, "system_release", lambda: None)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def doctor(*words: str, **environment: str) -> Result:
    """Run `agent-manager doctor` where the environment names no system but this."""
    unset = {"DATABASE_URL": None, "REDIS_URL": None}
    return CliRunner().invoke(main, ["doctor", *words], env=unset | environment)


def marks(result: Result) -> dict[str, str]:
    """What each line is about → its mark."""
    lines = (line for line in result.stdout.splitlines() if not line.startswith(" "))
    return {line[2 : WIDTH + 2].strip(): line[0] for line in lines}


def test_a_system_that_works_has_a_clean_bill(database: Database, settings: Settings) -> None:
    a_scheduler_and_a_worker()

    result = doctor(DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url)

    assert result.exit_code == 0, result.output
    assert set(marks(result).values()) == {"✓"}
    assert list(marks(result)) == [
        "settings",
        "time zones",
        "redis",
        "database",
        "migrations",
        "clock",
        "scheduler",
        "schedules",
        "queue",
        "workers",
        "leases",
        "runs",
        "batches",
        "set aside",
        "ever counted",
        "lately",
    ]


def test_no_name_runs_into_its_sentence(database: Database, settings: Settings) -> None:
    now = clock.now()
    Tally.create(
        process_id="w",
        counts=dict.fromkeys(Count, 1),
        latest=dict.fromkeys(Count, stamp(now)),
        updated_at=now,
    )

    result = doctor(DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url)

    assert "! database retries" in result.stdout
    assert "! clock steps" in result.stdout
    lines = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert all(line[WIDTH + 2 : WIDTH + 4] == "  " for line in lines)


def test_a_worker_that_lacks_threads_is_named_with_what_it_lacks(
    database: Database, settings: Settings
) -> None:
    a_scheduler_and_a_worker()
    now = clock.now()
    alive, until = Alive(threads=3, consumers=0), now + timedelta(minutes=1)
    processes.worker_seen("w", alive=alive, until=until, now=now)

    result = doctor(DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url)

    assert marks(result)["workers"] == "✗"
    assert "worker w has 3 of 8 threads and 0 of 1 consumer at work" in result.stdout


def test_a_system_that_does_not_run_fails_with_the_cure_beneath(
    database: Database, database_url: str
) -> None:
    result = doctor(DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1")

    failed = {name for name, mark in marks(result).items() if mark == "✗"}
    assert result.exit_code == 1
    assert failed == {"redis", "scheduler", "workers"}
    assert "Start a worker: python -m worker" in result.stdout
    assert "REDIS_URL" in result.stdout


def test_a_warning_is_no_failure(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_scheduler_and_a_worker()
    monkeypatch.setattr(zone_data, "system_release", lambda: "1999a")

    result = doctor(DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url)

    assert marks(result)["time zones"] == "!"
    assert result.exit_code == 0


def test_a_wrong_setting_is_a_line() -> None:
    result = doctor(PORT="eighty")

    assert result.exit_code == 1
    assert result.stdout == "✗ settings             PORT must be a whole number, not 'eighty'.\n"


def test_where_nothing_ever_ran_there_are_lines_and_no_traces(tmp_path: Path) -> None:
    result = doctor()

    assert result.exit_code == 1
    assert marks(result) == {"settings": "✓", "database": "✗"}
    assert "--data-dir" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--data-dir", "data"]])
def test_the_system_of_an_up_is_found_by_its_folder(words: list[str], up: Path) -> None:
    result = doctor(*words)

    assert result.exit_code == 0, result.output


def test_where_a_database_is_set_the_folder_is_not_looked_at(
    up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.delenv("REDIS_URL", raising=False)

    settings = target.settings(None)

    assert settings.database_url == f"sqlite:///{tmp_path}/other.db"
    assert settings.redis_url == Settings.redis_url


def test_a_folder_that_is_named_is_looked_at_whatever_is_set(
    up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/0")

    settings = target.settings(up)

    assert settings.database_url.endswith("/data/agent-manager.db")
    assert settings.redis_url.startswith("unix://")


def test_there_are_colours_for_a_terminal_only(up: Path) -> None:
    plain = CliRunner().invoke(main, ["doctor"])
    coloured = CliRunner().invoke(main, ["doctor"], color=True)

    assert "\x1b[" not in plain.stdout
    assert "\x1b[32m✓" in coloured.stdout


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Path]:
    """What an `agent-manager up` that runs has in ./data."""
    with datadir.take(Path("data")) as data:
        database = db.connect(data.database_url)
        migrations.migrate(database)
        a_scheduler_and_a_worker()
        database.close()
        with Valkey() as server:
            os.symlink(server.folder / "valkey.sock", data.socket)
            yield data.path


def a_scheduler_and_a_worker() -> None:
    now = clock.now()
    processes.scheduler_started("s", now=now)
    processes.scheduler_ticked("s", took=timedelta(), lag=timedelta(), now=now)
    until = now + timedelta(minutes=1)
    processes.worker_started("w", threads=8, queues=["runs"], until=until, now=now)
