"""Lists that people filter, sort and page through: SQL written once for each shape, rows as tuples.

Models would read better, but making twenty of them costs more than the rest of a request.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from peewee import ForeignKeyField, JSONField, Model, UUIDField

from shared import counting, db
from shared.db import UtcDateTimeField
from shared.errors import Invalid
from shared.pages import Page, Paging, Row


@dataclass(frozen=True)
class Spelled:
    """SQL that the two databases spell differently."""

    sqlite: str
    postgres: str


Sql = str | Spelled


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """A list of the rows of one table.

    *columns* maps what a row holds to the SQL for it, *filters* maps a filter to its condition on
    the placeholder of that name, *orders* a sort key to its column. *shown* joins what is only to
    be seen, never filtered by.
    """

    table: str
    key: str
    columns: Mapping[str, Sql]
    shown: str = ""
    where: str = "TRUE"
    filters: Mapping[str, Sql] = field(default_factory=dict)
    orders: Mapping[str, str] = field(default_factory=dict)
    newest_first: bool = True

    def page(self, filters: Mapping[str, Any], paging: Paging, *, total: int | None = None) -> Page:
        """The page of those rows that pass all *filters*; they are counted, unless *total* says."""
        shape = (self, db.is_sqlite(), tuple(filters))
        values = {name: _adapted(value) for name, value in filters.items()}
        sql = _rows(*shape, paging.sort, paging.size, skips=paging.offset > 0)
        rows = db.execute(sql, {**values, "skipped": paging.offset}).fetchall()
        if total is None:
            seen = rows[0][-1] if rows else None
            total = counting.count(_conditions(*shape), values, seen)
        return Page([row[:-1] for row in rows], paging.number, paging.size, total)

    def get(self, key: UUID | str) -> Row | None:
        """The row of that key."""
        row: Row | None = db.execute(_one(self, db.is_sqlite()), {"key": _adapted(key)}).fetchone()
        return row


@lru_cache(maxsize=1024)
def _rows(
    listing: Listing,
    sqlite: bool,
    filters: tuple[str, ...],
    sort: tuple[str, bool] | None,
    size: int,
    *,
    skips: bool,
) -> str:
    """The statement for a page.

    The size is written out, for PostgreSQL plans anew each time what it knows no limit of.
    """
    seen = "NULL" if sqlite else counting.SNAPSHOT
    return (
        f"{_select(listing, sqlite, seen)} WHERE {_where(listing, sqlite, filters)}"
        f" ORDER BY {_order(listing, sort)} LIMIT {size}{' OFFSET :skipped' if skips else ''}"
    )


@cache
def _conditions(listing: Listing, sqlite: bool, filters: tuple[str, ...]) -> str:
    return f"{listing.table} WHERE {_where(listing, sqlite, filters)}"


@cache
def _one(listing: Listing, sqlite: bool) -> str:
    return f"{_select(listing, sqlite)} WHERE {listing.key} = :key AND {listing.where}"


def _select(listing: Listing, sqlite: bool, *more: str) -> str:
    columns = ", ".join([*(_spelled(sql, sqlite) for sql in listing.columns.values()), *more])
    return f"SELECT {columns} FROM {listing.table} {listing.shown}"


def _where(listing: Listing, sqlite: bool, filters: tuple[str, ...]) -> str:
    conditions = (_spelled(listing.filters[name], sqlite) for name in filters)
    return " AND ".join([listing.where, *conditions])


def _order(listing: Listing, sort: tuple[str, bool] | None) -> str:
    if sort is None:
        return f"{listing.key} {'DESC' if listing.newest_first else 'ASC'}"
    name, descending = sort
    if name not in listing.orders:
        known = ", ".join(listing.orders)
        raise Invalid({"sort": [f"There is no order by {name!r}; there are {known}."]})
    direction = "DESC" if descending else "ASC"
    return f"{listing.orders[name]} {direction} NULLS LAST, {listing.key} {direction}"


def _spelled(sql: Sql, sqlite: bool) -> str:
    if isinstance(sql, str):
        return sql
    return sql.sqlite if sqlite else sql.postgres


def _adapted(value: Any) -> Any:
    """*value* as a driver takes it."""
    match value:
        case UUID():
            return value.hex
        case datetime():
            return db.stamp(value)
        case list() if db.is_sqlite():
            return json.dumps(value)
    return value


def text(column: str) -> Sql:
    """What PostgreSQL would otherwise make objects of: SQLite has it as text already."""
    return Spelled(column, f"{column}::text")


def read(model: type[Model], alias: str, *names: str) -> dict[str, Sql]:
    """Columns of *model* by their names, each as whoever renders it wants it."""
    return {name: _read(model._meta.columns[name], f"{alias}.{name}") for name in names}


def _read(field: Any, column: str) -> Sql:
    kind = field.rel_field if isinstance(field, ForeignKeyField) else field
    return text(column) if isinstance(kind, (UUIDField, UtcDateTimeField, JSONField)) else column


def one_of(column: str, name: str) -> Sql:
    """Whether *column* is among the values in the list `:name`."""
    return Spelled(
        f"{column} IN (SELECT value FROM json_each(:{name}))",
        f"{column} = ANY(:{name})",
    )


def holds(column: str, name: str) -> Sql:
    """Whether the JSON array in *column* holds the text `:name`."""
    return Spelled(
        f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = :{name})",
        f"{column} @> jsonb_build_array(:{name}::text)",
    )


def like(column: str, name: str) -> Sql:
    """Whether *column* is like `:name` (see `searching`), whatever the case of A to Z."""
    return Spelled(f"{column} LIKE :{name} ESCAPE '\\'", f"{column} ILIKE :{name} ESCAPE '\\'")


def millis(since: str, until: str) -> Sql:
    """The whole milliseconds between two instants."""
    return Spelled(
        f"CAST(ROUND((julianday({until}) - julianday({since})) * 86400000) AS INTEGER)",
        f"CAST(EXTRACT(EPOCH FROM {until} - {since}) * 1000 AS BIGINT)",
    )


def searching(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """*filters*, where the text `q` has become the pattern of what contains it."""
    if "q" not in filters:
        return filters
    escaped = re.sub(r"[\\%_]", r"\\\g<0>", filters["q"])
    return {**filters, "q": f"%{escaped}%"}
