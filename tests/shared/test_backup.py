"""A backup is a sound picture of one instant, for which nobody had to wait."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from factories import make_run

from shared import backup
from shared.backup import BackupFailed
from shared.models import Run

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture
def original(database):
    """The path of the test's database."""
    return Path(database.database)


@pytest.fixture
def file(tmp_path):
    """Where a backup is wanted; nothing else is there."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "agents.db"


def write(original, file, *, overwrite=False, progress=lambda copied, total: None):
    backup.write(original, file, overwrite=overwrite, progress=progress)


def ids_in(file):
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copy:
        return [id for (id,) in copy.execute("SELECT id FROM run ORDER BY id")]


def test_it_holds_what_was_committed_and_stands_alone(original, file):
    run = make_run()

    write(original, file)

    assert ids_in(file) == [run.id.hex]
    assert [path.name for path in file.parent.iterdir()] == ["agents.db"]


def test_it_is_for_its_owner_only(original, file):
    before = os.umask(0)
    try:
        write(original, file)
    finally:
        os.umask(before)

    assert file.stat().st_mode & 0o777 == 0o600


def test_writers_never_wait_and_their_writes_come_too_late(original, file, monkeypatch):
    monkeypatch.setattr(backup, "_PAGES_AT_ONCE", 1)
    run = make_run()
    steps = []

    with closing(sqlite3.connect(original, timeout=0, isolation_level=None)) as writer:

        def write_meanwhile(copied, total):
            steps.append((copied, total))
            assert len(steps) <= total, "it has begun again"
            writer.execute("UPDATE run SET message = message || 'x'")

        write(original, file, progress=write_meanwhile)

    pages = steps[-1][1]
    assert steps == [(number + 1, pages) for number in range(pages)]
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("SELECT message FROM run").fetchall() == [(run.message,)]
    assert len(Run.get().message) == len(run.message) + pages


def test_what_is_there_already_is_not_replaced_unless_asked(original, file):
    file.write_text("precious")

    with pytest.raises(BackupFailed, match=r"agents\.db is there already; --force replaces it"):
        write(original, file)
    assert file.read_text() == "precious"

    write(original, file, overwrite=True)
    assert ids_in(file) == []


def test_what_appears_meanwhile_is_not_replaced_either(original, file):
    def appear(copied, total):
        file.write_text("precious")

    with pytest.raises(BackupFailed, match="is there already"):
        write(original, file, progress=appear)

    assert file.read_text() == "precious"
    assert list(file.parent.iterdir()) == [file]


def test_the_database_does_not_become_its_own_backup(original, file):
    file.symlink_to(original)

    with pytest.raises(BackupFailed, match="is not a file that a backup may replace"):
        write(original, file, overwrite=True)

    assert Run.select().count() == 0


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_what_belongs_to_the_database_is_not_replaced(original, end):
    beside = original.with_name(original.name + end)
    beside.touch()
    before = beside.read_bytes()

    with pytest.raises(BackupFailed, match="belongs to a database"):
        write(original, beside, overwrite=True)

    assert beside.read_bytes() == before


def test_a_database_in_use_is_not_replaced(original, file):
    write(original, file)

    with closing(sqlite3.connect(file, isolation_level=None)) as somebody:
        somebody.execute("PRAGMA journal_mode = WAL")
        somebody.execute("DELETE FROM run")
        with pytest.raises(BackupFailed, match=r"a database in use: beside it is agents\.db-wal"):
            write(original, file, overwrite=True)


def test_what_is_no_file_is_not_replaced(original, file):
    os.mkfifo(file)

    with pytest.raises(BackupFailed, match="is not a file that a backup may replace"):
        write(original, file, overwrite=True)

    assert file.is_fifo()


def test_a_damaged_database_is_no_backup_and_replaces_none(original, file, tmp_path):
    for _ in range(50):
        make_run(message="x" * 10_000)
    write(original, file)
    damaged = tmp_path / "damaged.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    damaged.write_bytes(content)

    with pytest.raises(BackupFailed, match=r"The database .*damaged.db is damaged: \S+"):
        write(damaged, file, overwrite=True)

    assert len(ids_in(file)) == 50
    assert list(file.parent.iterdir()) == [file]


def test_one_that_is_broken_off_leaves_nothing(original, file):
    def interrupt(copied, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(original, file, progress=interrupt)

    assert list(file.parent.iterdir()) == []


def test_a_database_that_is_not_there_is_not_made(original, file):
    absent = original.with_name("absent.db")

    with pytest.raises(BackupFailed, match=r"There is no database .*absent\.db"):
        write(absent, file)

    assert not absent.exists()
    assert not file.exists()


def test_a_folder_that_is_not_there_is_said(original, file):
    with pytest.raises(BackupFailed, match=r"absent/agents\.db cannot be made: No such file"):
        write(original, file.parent / "absent" / file.name)
