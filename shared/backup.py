"""Copies of the SQLite database, taken while everything runs."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from shared.errors import AgentManagerError

# Told of pages: how many are copied, of how many.
Progress = Callable[[int, int], None]

_PAGES_AT_ONCE = 1000


class BackupFailed(AgentManagerError):
    """There is no sound copy of the database where one was wanted; what was there, still is."""


def write(database: Path, file: Path, *, overwrite: bool, progress: Progress) -> None:
    """Copy the SQLite *database* to *file*, for its owner's eyes only, or raise `BackupFailed`.

    The copy is of the instant at which it began. Those who write meanwhile never wait for it. It
    appears under its name whole, checked and on disk, or not at all.
    """
    if not database.is_file():
        raise BackupFailed(f"There is no database {database}.")
    _check_place(database, file, overwrite)
    try:
        draft = _draft(file)
    except OSError as error:
        raise _failed(file, error) from None
    try:
        _copy(database, draft, progress)
        _check(database, draft)
        _flush(draft)
        _check_place(database, file, overwrite)
        draft.replace(file)
        _flush(file.parent)
    except (OSError, sqlite3.Error) as error:
        raise _failed(file, error) from None
    finally:
        draft.unlink(missing_ok=True)


def _check_place(database: Path, file: Path, overwrite: bool) -> None:
    """Raise `BackupFailed` unless *file* may be written, or written over."""
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        # SQLite would mix what is in there with the copy.
        raise BackupFailed(f"{file} is, or was, a database in use: beside it is {log.name}.")
    if not file.exists():
        return
    if file.name in {f"{database.name}{end}" for end in ("-wal", "-shm")}:
        raise BackupFailed(f"{file} belongs to a database; choose another name.")
    if not overwrite:
        raise BackupFailed(f"{file} is there already; --force replaces it.")
    if not file.is_file() or file.samefile(database):
        raise BackupFailed(f"{file} is not a file that a backup may replace.")


def _draft(file: Path) -> Path:
    """A new file beside *file* that only its owner may read."""
    descriptor, path = tempfile.mkstemp(".part", f"{file.name}.", file.parent)
    os.close(descriptor)
    return Path(path)


def _copy(database: Path, draft: Path, progress: Progress) -> None:
    def copied(_: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    with (
        closing(_connect(f"file:{quote(str(database))}?mode=rw")) as source,
        closing(_connect(f"file:{quote(str(draft))}")) as target,
    ):
        # One look at the database for all steps. Without it each step would take another look,
        # and begin from the start whenever somebody had written something.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        source.backup(target, pages=_PAGES_AT_ONCE, progress=copied)
        # The copy is one file: there is no log of writes beside it to be lost.
        target.execute("PRAGMA journal_mode = DELETE")


def _check(database: Path, draft: Path) -> None:
    """Raise `BackupFailed` if the copy is damaged, as it is if the database is."""
    with closing(_connect(f"file:{quote(str(draft))}?mode=ro")) as copy:
        # Not `integrity_check`, which takes many times as long to compare indexes with tables:
        # from sound tables, sound indexes can always be made.
        (finding,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise BackupFailed(f"The database {database} is damaged: {' '.join(finding.split())}.")


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)


def _flush(path: Path) -> None:
    """Have the disk keep what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(file: Path, error: OSError | sqlite3.Error) -> BackupFailed:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return BackupFailed(f"The backup {file} cannot be made: {why}.")
