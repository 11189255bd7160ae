"""Numbered migrations, frozen once released, and the running of them."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import Database, SqliteDatabase
from playhouse.migrations import Runner

from shared.errors import SettingsError

# Any number will do, as long as all of us take the same.
_LOCK = zlib.crc32(b"agent-manager migrations")


def migrate(database: Database) -> list[str]:
    """Apply what has not been applied yet, and give the names of it.

    Safe to start in several processes at once: one does the work, the others wait for it.
    """
    with database.connection_context(), _alone(database):
        applied: list[str] = _runner(database).up()
    return applied


def pending(database: Database) -> list[str]:
    """The names of the migrations that have not been applied."""
    with database.connection_context():
        return [each.name for each in _runner(database).status() if not each.applied]


def require_current(database: Database) -> None:
    """Raise `SettingsError` unless every migration has been applied."""
    missing = pending(database)
    if missing:
        raise SettingsError(
            f"The database lacks {', '.join(missing)}: run `agent-manager migrate` first."
        )


def _runner(database: Database) -> Runner:
    return Runner(database, directory=str(Path(__file__).parent))


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    # One transaction around all of them: a migration that fails leaves nothing half done.
    with database.atomic():
        if not isinstance(database, SqliteDatabase):
            database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        yield
