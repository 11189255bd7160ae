"""Budgets, and what settles them when a run ends.

Processes of the release before go on working: what is added to their tables is null, and however
they end a run, what was reserved for it is settled.
"""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"uuid": "TEXT", "utc": "TEXT", "json": "TEXT", "bigint": "INTEGER"}
POSTGRES = {"uuid": "UUID", "utc": "TIMESTAMPTZ", "json": "JSONB", "bigint": "BIGINT"}

STATEMENTS = """
CREATE TABLE budget (
  id {uuid} NOT NULL PRIMARY KEY,
  scope VARCHAR(16) NOT NULL,
  agent_id VARCHAR(64) REFERENCES agent (id) ON DELETE RESTRICT,
  schedule_id {uuid} REFERENCES schedule (id) ON DELETE RESTRICT,
  period VARCHAR(16) NOT NULL,
  timezone TEXT NOT NULL,
  limit_usd NUMERIC(14, 6) NOT NULL,
  run_usd NUMERIC(14, 6),
  when_spent VARCHAR(16) NOT NULL,
  version INTEGER NOT NULL,
  created_at {utc} NOT NULL,
  updated_at {utc} NOT NULL,
  CONSTRAINT budget_agent CHECK ((scope = 'AGENT') = (agent_id IS NOT NULL)),
  CONSTRAINT budget_schedule CHECK ((scope = 'SCHEDULE') = (schedule_id IS NOT NULL)),
  CONSTRAINT budget_limit CHECK (limit_usd > 0),
  CONSTRAINT budget_run CHECK (run_usd >= 0 AND run_usd <= limit_usd)
);
CREATE UNIQUE INDEX budget_of_agent ON budget (agent_id, period);
CREATE UNIQUE INDEX budget_of_schedule ON budget (schedule_id, period);
CREATE UNIQUE INDEX budget_of_instance ON budget (period) WHERE scope = 'INSTANCE';

CREATE TABLE budget_period (
  budget_id {uuid} NOT NULL REFERENCES budget (id) ON DELETE CASCADE,
  starts_at {utc} NOT NULL,
  ends_at {utc} NOT NULL,
  spent_micros {bigint} NOT NULL,
  reserved_micros {bigint} NOT NULL,
  unpriced_runs INTEGER NOT NULL,
  PRIMARY KEY (budget_id, starts_at),
  CONSTRAINT budget_period_reserved CHECK (reserved_micros >= 0)
);

ALTER TABLE run ADD COLUMN reserved {json};
CREATE INDEX run_priced ON run (agent_id, id) WHERE cost_usd IS NOT NULL
"""

_SPENT = "CAST(ROUND(COALESCE(NEW.cost_usd, 0) * 1000000) AS BIGINT)"
# What was never started has cost nothing.
_UNPRICED = "CASE WHEN NEW.cost_usd IS NULL AND NEW.attempt > 0 THEN 1 ELSE 0 END"
_SETTLED = "NEW.reserved IS NOT NULL AND OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL"

SQLITE_TRIGGER = (
    f"""
    CREATE TRIGGER run_settled AFTER UPDATE OF finished_at ON run
    WHEN {_SETTLED}
    BEGIN
      UPDATE budget_period SET
        reserved_micros = reserved_micros - held.micros,
        spent_micros = spent_micros + {_SPENT},
        unpriced_runs = unpriced_runs + {_UNPRICED}
      FROM (
        SELECT json_extract(value, '$.budget') AS budget,
          json_extract(value, '$.from') AS starts_at, json_extract(value, '$.micros') AS micros
        FROM json_each(NEW.reserved)
      ) held
      WHERE budget_period.budget_id = held.budget AND budget_period.starts_at = held.starts_at;
    END
    """,
)
# Once a statement, so that those who end runs under several budgets lock these in one order.
POSTGRES_TRIGGER = (
    f"""
    CREATE FUNCTION run_settled() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NOT EXISTS (SELECT FROM after WHERE reserved IS NOT NULL AND finished_at IS NOT NULL) THEN
        RETURN NULL;
      END IF;
      PERFORM FROM budget_period p
      WHERE (p.budget_id, p.starts_at) IN (
        SELECT held.budget, held."from"
        FROM after, jsonb_to_recordset(after.reserved) AS held (budget UUID, "from" TIMESTAMPTZ)
        WHERE after.finished_at IS NOT NULL
      )
      ORDER BY p.budget_id, p.starts_at FOR NO KEY UPDATE;
      UPDATE budget_period p SET
        reserved_micros = p.reserved_micros - settled.reserved,
        spent_micros = p.spent_micros + settled.spent,
        unpriced_runs = p.unpriced_runs + settled.unpriced
      FROM (
        SELECT held.budget, held."from" AS starts_at, SUM(held.micros) AS reserved,
          SUM({_SPENT}) AS spent, SUM({_UNPRICED}) AS unpriced
        FROM after AS new_run JOIN before AS old_run ON OLD.id = NEW.id,
          jsonb_to_recordset(NEW.reserved) AS held (budget UUID, "from" TIMESTAMPTZ, micros BIGINT)
        WHERE {_SETTLED}
        GROUP BY held.budget, held."from"
      ) settled
      WHERE p.budget_id = settled.budget AND p.starts_at = settled.starts_at;
      RETURN NULL;
    END $$
    """.replace("NEW.", "new_run.").replace("OLD.", "old_run."),
    """
    CREATE TRIGGER run_settled AFTER UPDATE ON run
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION run_settled()
    """,
)


def up(migrator: Any, db: Database) -> None:
    """Make the tables, the index and the trigger."""
    is_sqlite = isinstance(db, SqliteDatabase)
    for statement in STATEMENTS.format(**SQLITE if is_sqlite else POSTGRES).split(";"):
        db.execute_sql(statement)
    for statement in SQLITE_TRIGGER if is_sqlite else POSTGRES_TRIGGER:
        db.execute_sql(statement)
