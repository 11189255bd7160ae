"""What items cost counts in their batch as it is spent, not only once they have ended.

An item that waits for a person may have cost as much as one that has ended, and a budget that does
not know of it is not kept. It is the database that counts, so for processes of the release before
as well.
"""

from importlib import import_module
from typing import Any

from peewee import Database, SqliteDatabase

_BATCHES = import_module("shared.migrations.0003_batches")
_AT_ITS_END = _BATCHES._ADDED["agent_micros"]
_AT_ONCE = f"{_BATCHES._micros('NEW.cost_usd')} - {_BATCHES._micros('OLD.cost_usd')}"

_COUNT_WHAT_GOES_ON = f"""
    UPDATE batch_progress SET agent_micros = agent_micros + (
      SELECT COALESCE(SUM({_BATCHES._micros("run.cost_usd")}), 0) FROM run
      WHERE run.batch_id = batch_progress.batch_id AND run.finished_at IS NULL
    )
    WHERE batch_id IN (SELECT id FROM batch WHERE finished_at IS NULL)
"""


def up(migrator: Any, db: Database) -> None:
    """Make the trigger anew, and count what it has not counted."""
    if isinstance(db, SqliteDatabase):
        (trigger,) = _BATCHES.SQLITE_TRIGGER
        statements = ("DROP TRIGGER run_items_moved", trigger.replace(_AT_ITS_END, _AT_ONCE))
    else:
        function, _ = _BATCHES.POSTGRES_TRIGGER
        function = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        statements = (
            # What moves meanwhile would be counted by both or by neither.
            "LOCK TABLE run IN EXCLUSIVE MODE",
            function.replace(_old_and_new(_AT_ITS_END), _old_and_new(_AT_ONCE)),
        )
    for statement in (*statements, _COUNT_WHAT_GOES_ON):
        db.execute_sql(statement)


def _old_and_new(sql: str) -> str:
    """*sql* by the names that the function has for OLD and NEW."""
    return sql.replace("NEW.", "new_run.").replace("OLD.", "old_run.")
