"""Lines of agents for dispatch, what processes count and have alive, and how much history to keep.

Processes of the release before go on working: what is added is null or has a default.
"""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"utc": "TEXT", "json": "TEXT"}
POSTGRES = {"utc": "TIMESTAMPTZ", "json": "JSONB"}

STATEMENTS = """
DROP INDEX run_queued;
CREATE INDEX run_queued ON run (agent_id, priority, available_at) WHERE status = 'QUEUED';
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


def up(migrator: Any, db: Database) -> None:
    """Make the changes."""
    words = SQLITE if isinstance(db, SqliteDatabase) else POSTGRES
    for statement in STATEMENTS.format(**words).split(";"):
        db.execute_sql(statement)
