"""How many rows there are: counted again only when the database may have changed.

To count ten thousand rows takes longer than to read the page that is shown of them. Both databases
say cheaply whether anything was committed since: then, and only then, the old answer is dropped.
"""

import threading
from typing import Any

from shared import db

# Which transactions are seen: equal snapshots see equal rows.
SNAPSHOT = "(SELECT pg_current_snapshot()::text)"
_MOST_REMEMBERED = 256


class _Memory(threading.local):
    """What a thread has counted in the database, or connection, that is *source*."""

    def __init__(self) -> None:
        self.source: object = None
        self.counts: dict[tuple[Any, ...], tuple[Any, int]] = {}


_memory = _Memory()


def count(conditions: str, values: dict[str, Any], snapshot: str | None) -> int:
    """How many rows `SELECT … FROM *conditions*` would give.

    *snapshot* is what an earlier statement saw as `SNAPSHOT`; None: it saw nothing.
    """
    version = _version_of_sqlite() if db.is_sqlite() else snapshot
    if version is None or db.proxy.in_transaction():
        return _count(conditions, values)
    counts = _counts()
    key = (conditions, *map(str, values.values()))
    known = counts.get(key)
    if known is not None and known[0] == version:
        return known[1]
    if len(counts) >= _MOST_REMEMBERED:
        counts.clear()
    # What is committed while it is counted makes the next version another one.
    counts[key] = version, _count(conditions, values)
    return counts[key][1]


def _count(conditions: str, values: dict[str, Any]) -> int:
    total: int
    (total,) = db.execute(f"SELECT count(*) FROM {conditions}", values).fetchone()
    return total


def _counts() -> dict[tuple[Any, ...], tuple[Any, int]]:
    """What was counted where we are connected now; versions of elsewhere mean nothing."""
    source = db.proxy.connection() if db.is_sqlite() else db.proxy.obj
    if source is not _memory.source:
        _memory.source, _memory.counts = source, {}
    return _memory.counts


def _version_of_sqlite() -> Any:
    """Something that is the same only while no row anywhere has changed."""
    (of_others,) = db.execute("PRAGMA data_version").fetchone()
    return of_others, db.proxy.connection().total_changes
