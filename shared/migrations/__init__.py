"""Numbered migrations, frozen once released, and the running of them."""

import logging
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import Database, OperationalError, SqliteDatabase
from playhouse.migrations import Runner

from shared import clock
from shared.errors import SettingsError

logger = logging.getLogger(__name__)

# Any number will do, as long as all of us take the same.
_LOCK = zlib.crc32(b"agent-manager migrations")
# Who waits for a table has all others wait behind it.
_LOCK_TIMEOUT = "2s"
# What PostgreSQL says where somebody works on the tables meanwhile: a deadlock, or no lock in time.
_IN_THE_WAY = frozenset({"40P01", "55P03"})
_INSIST_SECONDS = 60.0
_TRY_AGAIN_SECONDS = 0.5


def migrate(database: Database) -> list[str]:
    """Apply what has not been applied yet, and give the names of it.

    Safe to start in several processes at once: one does the work, the others wait for it. Safe
    while others work: it gets out of their way, and tries again for a minute.
    """
    until = clock.monotonic() + _INSIST_SECONDS
    while True:
        try:
            with database.connection_context(), _alone(database):
                applied: list[str] = _runner(database).up()
        except OperationalError as error:
            state = getattr(getattr(error, "orig", None), "sqlstate", None)
            if state not in _IN_THE_WAY or clock.monotonic() > until:
                raise
            logger.warning("the tables are in use, will try again: %s", str(error).splitlines()[0])
            time.sleep(_TRY_AGAIN_SECONDS)
        else:
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
            database.execute_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        yield
