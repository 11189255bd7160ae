"""What runs have used up, to be added up from an index alone.

Processes of the release before go on working: nothing else changes.
"""

from typing import Any

from peewee import Database

STATEMENT = """
CREATE INDEX run_costs ON run (
  finished_at, schedule_id, agent_id, model, input_tokens, output_tokens, cost_usd, compute_usd
) WHERE ((finished_at IS NOT NULL) AND (started_at IS NOT NULL))
"""


def up(migrator: Any, db: Database) -> None:
    """Make the index."""
    db.execute_sql(STATEMENT)
