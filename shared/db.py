"""The database: its proxy, the base of every model, and the unit of work.

SQLite and PostgreSQL are both first class. Peewee speaks to either; where a thousand rows move at
once, or a statement is every run's, the callers write SQL that both understand, with the functions
at the end for what the two spell otherwise.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

from peewee import (
    Database,
    DatabaseProxy,
    Field,
    InterfaceError,
    InternalError,
    Model,
    OperationalError,
    SqliteDatabase,
)
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from shared.errors import SettingsError

proxy = DatabaseProxy()

# What a driver raises when the database went away; the same work may be tried again. SQLite
# commits a statement that returns rows when they are fetched, of which Peewee is not aware.
UNREACHABLE = (
    *(OperationalError, InterfaceError, InternalError, MaxConnectionsExceeded),
    sqlite3.OperationalError,
)

# `:name`, and not the second half of `::type`.
_PLACEHOLDER = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)\b")
# What `rows` and `values` call by other names.
_POSTGRES_TYPES = {"utc": "timestamptz", "bool": "boolean", "json": "jsonb"}

SqliteDatabase.field_types["UTC"] = "TEXT"
PooledPostgresqlDatabase.field_types["UTC"] = "TIMESTAMPTZ"

# What writes at once on SQLite takes turns; a storm's turn is far shorter.
_WAIT_FOR_SQLITE = timedelta(seconds=30)

# A server that is gone without a word is noticed within some seconds.
_NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


class UtcDateTimeField(Field):
    """An instant: aware, in UTC, to the microsecond.

    PostgreSQL keeps it as `timestamptz`; SQLite as text of fixed width, which sorts as time does.
    """

    field_type = "UTC"

    def db_value(self, value: datetime | None) -> str | None:
        """The instant as text that both databases read. Raises `ValueError` on a naive one."""
        return None if value is None else stamp(value)

    def python_value(self, value: datetime | str | None) -> datetime | None:
        """The instant, aware."""
        return None if value is None else instant(value)


@lru_cache(maxsize=4096)
def stamp(value: datetime) -> str:
    """*value* as text that sorts as time does and that both databases read."""
    if value.tzinfo is None:
        raise ValueError(f"{value} is naive; an instant must say its offset from UTC.")
    return value.astimezone(UTC).isoformat(" ", "microseconds")


def instant(value: datetime | str) -> datetime:
    """What a driver gave back for a `UtcDateTimeField`, as an aware datetime."""
    return _parse(value) if isinstance(value, str) else value


_parse = lru_cache(maxsize=4096)(datetime.fromisoformat)


def uuid(value: UUID | str) -> UUID:
    """What a driver gave back for a `UUIDField`."""
    return UUID(value) if isinstance(value, str) else value


def uuid_hex(value: UUID | str) -> str:
    """What a driver gave back for a `UUIDField`, as 32 hexadecimal digits."""
    return value if isinstance(value, str) else value.hex


def json_value(value: Any) -> Any:
    """What a driver gave back for a `JSONField`."""
    return json.loads(value) if isinstance(value, str) else value


class Record(Model):
    """The base of every table."""

    class Meta:
        database = proxy
        legacy_table_names = False


def connect(url: str, *, connections: int = 10, patience: timedelta | None = None) -> Database:
    """Point the proxy at the database of *url*; nothing is opened yet.

    *connections* bounds the pool of PostgreSQL. *patience* bounds how long PostgreSQL may take for
    a statement, and how long SQLite's lock is waited for. Raises `SettingsError` on a url that
    cannot be used here.
    """
    if url.startswith("sqlite"):
        database = _sqlite(url, patience or _WAIT_FOR_SQLITE)
    else:
        database = _postgres(url, connections, patience)
    proxy.initialize(database)
    return database


class _SqliteFile(SqliteDatabase):
    def rollback(self) -> None:
        # Where its disk is full, SQLite has rolled back by itself; that is what is to be heard of.
        connection: sqlite3.Connection = self.connection()  # type: ignore[no-untyped-call]
        if connection.in_transaction:
            super().rollback()


def _sqlite(url: str, patience: timedelta) -> Database:
    path = unquote(urlsplit(url).path).removeprefix("/")
    if not path:
        raise SettingsError("DATABASE_URL names no file; write sqlite:///path/to/file.db.")
    if not Path(path).parent.is_dir():
        raise SettingsError(f"DATABASE_URL: there is no folder {Path(path).parent}.")
    return _SqliteFile(
        path,
        lock_type="IMMEDIATE",
        timeout=patience.total_seconds(),
        pragmas={
            "journal_mode": "wal",
            # In WAL mode this survives the death of any process; only a loss of power can take
            # the last transactions with it, and never the database's consistency.
            "synchronous": "normal",
            "foreign_keys": 1,
            "cache_size": -16_000,
            # In pages: a storm of runs should not wait for the disk at every thousandth.
            "wal_autocheckpoint": 4_000,
        },
    )


def _postgres(url: str, connections: int, patience: timedelta | None) -> Database:
    try:
        from shared.postgres import ImpatientDatabase
    except ImportError:
        raise SettingsError(
            "PostgreSQL needs a driver, which the extra `postgres` brings:"
            " pip install '.[postgres]'"
        ) from None
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    options: dict[str, Any] = {
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
        "host": parts.hostname and unquote(parts.hostname),
        "port": parts.port,
        "application_name": "agent-manager",
        **_NETWORK,
        **asked,
        "options": f"{asked.get('options', '')} -c timezone=UTC".strip(),
    }
    database: Database = ImpatientDatabase(
        unquote(parts.path.removeprefix("/")),
        patience=patience,
        max_connections=connections,
        timeout=30,
        **{name: value for name, value in options.items() if value is not None},
    )
    return database


def is_sqlite() -> bool:
    """Whether the database is SQLite; otherwise it is PostgreSQL."""
    return isinstance(proxy.obj, SqliteDatabase)


@contextmanager
def connection() -> Iterator[None]:
    """A unit of work: on PostgreSQL a connection of its own, given back at the end.

    A connection that has seen its server die is dropped here, so the next unit gets a sound one.
    SQLite keeps one connection a thread, for opening a file costs more than most work.
    """
    if is_sqlite() or not proxy.is_closed():
        proxy.connect(reuse_if_open=True)
        yield
        return
    with proxy.connection_context():
        yield


@contextmanager
def transaction() -> Iterator[None]:
    """A unit of work in one transaction: all of it is kept, or none."""
    with connection(), proxy.atomic():
        yield


@contextmanager
def hurried(patience: timedelta) -> Iterator[None]:
    """A unit of work that waits no longer than *patience* for SQLite's lock, or for PostgreSQL."""
    with connection():
        before = _wait_at_most(patience.total_seconds())
        try:
            yield
        finally:
            _wait_at_most(before)


def _wait_at_most(seconds: float | None) -> float | None:
    """Have this thread's connection wait so long from now on; how long it did before."""
    if not is_sqlite():
        here = proxy.connection()
        before: float | None = here.seconds
        here.seconds = seconds
        return before
    (milliseconds,) = execute("PRAGMA busy_timeout").fetchone()
    execute(f"PRAGMA busy_timeout = {round((seconds or 0) * 1000)}")
    return float(milliseconds) / 1000


def execute(sql: str, values: dict[str, Any] | None = None) -> Any:
    """Execute *sql*, whose `:name` placeholders stand for *values*, and give back the cursor."""
    return proxy.execute_sql(*bind(sql, values or {}))


def bind(sql: str, values: dict[str, Any]) -> tuple[str, Any]:
    """*sql* and its values as the driver wants them."""
    return (sql, values) if is_sqlite() else (_for_psycopg(sql), values)


@lru_cache(maxsize=512)
def _for_psycopg(sql: str) -> str:
    return _PLACEHOLDER.sub(r"%(\1)s", sql.replace("%", "%%"))


def rows(name: str, columns: dict[str, str]) -> str:
    """A table of the objects in the JSON array `:name`, for the FROM of a set-based statement.

    *columns* maps each key to its type: `uuid`, `utc`, `int`, `bool`, `text` or `json`.
    """
    if is_sqlite():
        picked = ", ".join(f"json_extract(value, '$.{key}') AS {key}" for key in columns)
        return f"(SELECT {picked} FROM json_each(:{name}))"
    typed = ", ".join(f"{key} {_POSTGRES_TYPES.get(kind, kind)}" for key, kind in columns.items())
    picked = ", ".join(columns)
    return f"(SELECT {picked} FROM json_to_recordset(CAST(:{name} AS json)) AS _({typed}))"


def values(
    name: str, columns: dict[str, str], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """A table like that of `rows`, for a WITH, of a few rows that may be long; and what binds it.

    JSON is given as text.
    """
    sql = _values(name, tuple(columns.items()), len(rows), is_sqlite())
    return sql, {f"{key}_{n}": row[key] for n, row in enumerate(rows) for key in columns}


@lru_cache(maxsize=512)
def _values(name: str, columns: tuple[tuple[str, str], ...], count: int, is_sqlite: bool) -> str:
    def value(key: str, kind: str, number: int) -> str:
        bound = f":{key}_{number}"
        return bound if is_sqlite else f"CAST({bound} AS {_POSTGRES_TYPES.get(kind, kind)})"

    bound = (", ".join(value(*column, number) for column in columns) for number in range(count))
    rows = ", ".join(f"({row})" for row in bound)
    return f"{name} ({', '.join(key for key, _ in columns)}) AS (VALUES {rows})"


def json_bound(name: str) -> str:
    """The JSON text `:name`, as a column keeps it."""
    return f":{name}" if is_sqlite() else f"CAST(:{name} AS jsonb)"


def among(column: str, name: str) -> str:
    """The condition that *column* is one of the UUIDs in `:name`, which are given as `hexes`."""
    if is_sqlite():
        return f"{column} IN (SELECT value FROM json_each(:{name}))"
    # Read once, into an array; each of it is then looked up in the primary key.
    elements = f"json_array_elements_text(CAST(:{name} AS json))"
    return f"{column} = ANY(ARRAY(SELECT CAST(value AS uuid) FROM {elements}))"


def hexes(ids: Iterable[UUID]) -> str:
    """Those ids as a JSON array of hexadecimals."""
    return json.dumps([each.hex for each in ids])


def holds(column: str, name: str) -> str:
    """The condition that the JSON array in *column* holds the text `:name`."""
    if is_sqlite():
        return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = :{name})"
    return f"{column} @> jsonb_build_array(CAST(:{name} AS text))"


def locking(clause: str) -> str:
    """*clause* (such as `FOR UPDATE SKIP LOCKED`) where rows are locked one by one.

    SQLite's transactions are IMMEDIATE: they exclude each other as a whole.
    """
    return "" if is_sqlite() else clause


def unindexed(column: str) -> str:
    """The text in *column*, in a condition that is not to be looked up in an index.

    In a partial index there are, until the next vacuum, all the rows that have ever been in it.
    """
    return f"{column} || ''"


def indexed_by(index: str) -> str:
    """Have SQLite go by *index*; PostgreSQL knows from its statistics what is best."""
    return f"INDEXED BY {index}" if is_sqlite() else ""
