"""What agents that converse need: what runs use up, what they ask people, what is remembered.

Processes of the release before go on working: what is added is null or has a default, and the runs
that they make wait for people for ever.
"""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"uuid": "TEXT", "utc": "TEXT", "json": "TEXT", "bytes": "BLOB", "bool": "INTEGER"}
POSTGRES = {
    "uuid": "UUID",
    "utc": "TIMESTAMPTZ",
    "json": "JSONB",
    "bytes": "BYTEA",
    "bool": "BOOLEAN",
}

STATEMENTS = """
ALTER TABLE run ADD COLUMN cache_read_tokens INTEGER;
ALTER TABLE run ADD COLUMN cache_write_tokens INTEGER;
ALTER TABLE run ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE run ADD COLUMN requests INTEGER;
ALTER TABLE run ADD COLUMN tool_calls INTEGER;

ALTER TABLE schedule ADD COLUMN session_policy VARCHAR(16) NOT NULL DEFAULT 'FRESH';
ALTER TABLE schedule ADD COLUMN approval_policy VARCHAR(8) NOT NULL DEFAULT 'WAIT';
ALTER TABLE schedule ADD COLUMN approval_wait_seconds INTEGER;
ALTER TABLE schedule ADD COLUMN paused_overlaps {bool} NOT NULL DEFAULT FALSE;
ALTER TABLE run ADD COLUMN session_policy VARCHAR(16) NOT NULL DEFAULT 'FRESH';
ALTER TABLE run ADD COLUMN approval_policy VARCHAR(8) NOT NULL DEFAULT 'WAIT';
ALTER TABLE run ADD COLUMN approval_wait_seconds INTEGER;
ALTER TABLE run ADD COLUMN asks {json};
ALTER TABLE run ADD COLUMN answers {json};
ALTER TABLE run ADD COLUMN answer_by {utc};
CREATE INDEX run_paused ON run (answer_by) WHERE status = 'PAUSED';

CREATE TABLE run_state (
  run_id {uuid} NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE CASCADE,
  attempt INTEGER NOT NULL,
  state {bytes} NOT NULL
);

CREATE TABLE session (
  id {uuid} NOT NULL PRIMARY KEY,
  agent_id VARCHAR(64) NOT NULL,
  schedule_id {uuid},
  history {bytes} NOT NULL,
  size INTEGER NOT NULL,
  turns INTEGER NOT NULL,
  created_at {utc} NOT NULL,
  updated_at {utc} NOT NULL
);
CREATE INDEX session_of_agent ON session (agent_id, id)
"""


def up(migrator: Any, db: Database) -> None:
    """Add the columns and the tables."""
    types = SQLITE if isinstance(db, SqliteDatabase) else POSTGRES
    for statement in STATEMENTS.format(**types).split(";"):
        db.execute_sql(statement)
