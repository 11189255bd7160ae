"""What an attempt had used up when it kept its state: counted if its worker dies.

Processes of the release before go on working: what is added is null.
"""

from typing import Any

from peewee import Database, SqliteDatabase


def up(migrator: Any, db: Database) -> None:
    """Add the column."""
    json = "TEXT" if isinstance(db, SqliteDatabase) else "JSONB"
    db.execute_sql(f"ALTER TABLE run_state ADD COLUMN used {json}")
