"""What becomes of items of batches whose agents ask a person.

Processes of the release before go on working: what is added has a default or is null, and the
items of their batches wait for people for ever.
"""

from typing import Any

from peewee import Database

STATEMENTS = (
    "ALTER TABLE batch ADD COLUMN approval_policy VARCHAR(8) NOT NULL DEFAULT 'WAIT'",
    "ALTER TABLE batch ADD COLUMN approval_wait_seconds INTEGER",
)


def up(migrator: Any, db: Database) -> None:
    """Add the columns."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
