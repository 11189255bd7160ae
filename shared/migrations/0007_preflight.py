"""Checks of agents: what they came to, which version they were of, and no place in the costs.

Processes of the release before go on working: what is added to their tables is null, and a check is
a run of a kind that their workers do not have.
"""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"utc": "TEXT", "json": "TEXT"}
POSTGRES = {"utc": "TIMESTAMPTZ", "json": "JSONB"}

STATEMENTS = """
ALTER TABLE agent ADD COLUMN check_status VARCHAR(8);
ALTER TABLE agent ADD COLUMN check_findings {json};
ALTER TABLE agent ADD COLUMN checked_at {utc};
ALTER TABLE agent ADD COLUMN checked_version INTEGER;
ALTER TABLE run ADD COLUMN agent_version INTEGER;

DROP INDEX run_costs;
CREATE INDEX run_costs ON run (
  finished_at, schedule_id, agent_id, model, input_tokens, output_tokens, cost_usd, compute_usd
) WHERE (((finished_at IS NOT NULL) AND (started_at IS NOT NULL)) AND (trigger != 'CHECK'))
"""


def up(migrator: Any, db: Database) -> None:
    """Add the columns, and make the index anew."""
    is_sqlite = isinstance(db, SqliteDatabase)
    for statement in STATEMENTS.format(**SQLITE if is_sqlite else POSTGRES).split(";"):
        db.execute_sql(statement)
