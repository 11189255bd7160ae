"""Lines of agents for dispatch, what processes count and have alive, and how much history to keep.

Processes of the release before go on working: what is added is null or has a default.
"""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"utc": "TEXT", "json": "TEXT"}
POSTGRES = {"utc": "TIMESTAMPTZ", "json": "JSONB"}

STATEMENTS = """
CREATE INDEX run_sent ON run (agent_id) WHERE ((status = 'QUEUED') AND (dispatches > 0));
ALTER TABLE schedule ADD COLUMN keep_last INTEGER
  CONSTRAINT schedule_keep_last CHECK (keep_last > 0);
ALTER TABLE worker ADD COLUMN alive_until {utc};
ALTER TABLE worker ADD COLUMN threads_alive INTEGER;
ALTER TABLE worker ADD COLUMN consumers_alive INTEGER;
ALTER TABLE scheduler ADD COLUMN last_tick_lag_ms INTEGER;
CREATE TABLE tally (
  process_id VARCHAR(128) NOT NULL PRIMARY KEY,
  counts {json} NOT NULL,
  latest {json} NOT NULL,
  updated_at {utc} NOT NULL
)
"""
# On PostgreSQL nobody can read the table from the first DROP on.
RUN_QUEUED = """
CREATE INDEX run_lines ON run (agent_id, priority, available_at) WHERE status = 'QUEUED';
DROP INDEX run_queued;
ALTER INDEX run_lines RENAME TO run_queued
"""
SQLITE_RUN_QUEUED = """
DROP INDEX run_queued;
CREATE INDEX run_queued ON run (agent_id, priority, available_at) WHERE status = 'QUEUED'
"""


def up(migrator: Any, db: Database) -> None:
    """Make the changes."""
    is_sqlite = isinstance(db, SqliteDatabase)
    statements = STATEMENTS.format(**SQLITE if is_sqlite else POSTGRES).split(";")
    for statement in statements + (SQLITE_RUN_QUEUED if is_sqlite else RUN_QUEUED).split(";"):
        db.execute_sql(statement)
