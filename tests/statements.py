"""Counting what is said to the database, where the drivers say it: statements, and commits."""

import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import psycopg

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


class Said:
    """How many statements and commits there were, by the name of the thread.

    What begins or ends a transaction is no statement. Outside of transactions each statement that
    writes is a commit, too.
    """

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self._lock = threading.Lock()

    def listener(self) -> Callable[[str], None]:
        """What is to hear each statement of one connection."""
        in_transaction = False

        def hear(sql: str) -> None:
            nonlocal in_transaction
            match sql.split()[0]:
                case "BEGIN":
                    in_transaction = True
                case "COMMIT":
                    in_transaction = False
                    self._count(self.commits)
                case "ROLLBACK":
                    in_transaction = False
                case _:
                    self._count(self.statements)
                    if not in_transaction and _WRITES.search(sql):
                        self._count(self.commits)

        return hear

    def _count(self, counter: "Counter[str]") -> None:
        with self._lock:
            counter[threading.current_thread().name] += 1


@contextmanager
def counted(database: peewee.Database) -> Iterator[Said]:
    """What is said within the block, over connections to *database* that are opened in it."""
    said = Said()
    connect = database._connect

    def connect_and_listen() -> Any:
        connection = connect()
        listen = said.listener()
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = _overheard(psycopg.Cursor, listen)
            return connection
        return _Overheard(connection, _overheard(sqlite3.Cursor, listen))

    database.close()
    database._connect = connect_and_listen
    try:
        yield said
    finally:
        database.close()
        del database._connect


def _overheard(cursor: type[Any], listen: Callable[[str], None]) -> type[Any]:
    class Overheard(cursor):  # type: ignore[misc]
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            listen(query)
            return super().execute(query, *args, **kwargs)

    return Overheard


class _Overheard:
    """A connection of SQLite, whose own trace would tell of a statement again for each trigger."""

    def __init__(self, connection: sqlite3.Connection, cursor: type[Any]) -> None:
        self._connection, self._cursor = connection, cursor

    def cursor(self) -> Any:
        return self._connection.cursor(self._cursor)

    def execute(self, *args: Any) -> Any:
        return self.cursor().execute(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
