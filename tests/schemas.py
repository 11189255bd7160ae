"""What tables a database really has, so that two ways of making them can be compared."""

import re
from typing import Any

from peewee import Database, SqliteDatabase

HISTORY = "schema_migration"
CHECK = re.compile(
    r"CONSTRAINT (\w+) CHECK (.*?)(?=, (?:\w+ \w+ )?CONSTRAINT|, [a-z_]+ [A-Z]+|\)$)"
)

POSTGRES_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
POSTGRES_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass
"""
POSTGRES_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"


def schema_of(database: Database) -> dict[str, dict[str, list[Any]]]:
    """Each table's columns, constraints and indexes, by their names and in full."""
    describe = _in_sqlite if isinstance(database, SqliteDatabase) else _in_postgres
    return {table: describe(database, table) for table in database.get_tables() if table != HISTORY}


def _in_postgres(database: Database, table: str) -> dict[str, list[Any]]:
    queries = {
        "columns": (POSTGRES_COLUMNS, f'"{table}"'),
        "constraints": (POSTGRES_CONSTRAINTS, f'"{table}"'),
        "indexes": (POSTGRES_INDEXES, table),
    }
    return {
        what: sorted(database.execute_sql(sql, (name,)).fetchall(), key=str)
        for what, (sql, name) in queries.items()
    }


def _in_sqlite(database: Database, table: str) -> dict[str, list[Any]]:
    def ask(sql: str, *values: str) -> list[Any]:
        return database.execute_sql(sql, values).fetchall()

    [(definition,)] = ask("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table)
    written = dict(ask("SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
    indexes = ask('SELECT name, "unique", origin FROM pragma_index_list(?)', table)
    foreign = 'SELECT "from", "table", "to", on_update, on_delete FROM pragma_foreign_key_list(?)'
    # The two are one to SQLite, and to PostgreSQL.
    kind = "replace(type, 'DECIMAL', 'NUMERIC')"
    columns = f'SELECT name, {kind}, "notnull", dflt_value, pk FROM pragma_table_info(?)'
    return {
        "columns": sorted(ask(columns, table)),
        "constraints": sorted([*CHECK.findall(_plain(definition)), *ask(foreign, table)], key=str),
        "indexes": sorted(
            (
                (
                    name,
                    unique,
                    origin,
                    ask('SELECT name, "desc" FROM pragma_index_xinfo(?) WHERE key', name),
                    _plain(written[name] or "").partition(" WHERE ")[2],
                )
                for name, unique, origin in indexes
            ),
            key=str,
        ),
    }


def _plain(sql: str) -> str:
    """*sql* with one way of spacing, and of quoting names and whole conditions."""
    sql = " ".join(sql.replace('"', "").split())
    sql = sql.replace("( ", "(").replace(" )", ")")
    return re.sub(r" WHERE \(([^()]*)\)$", r" WHERE \1", sql)
