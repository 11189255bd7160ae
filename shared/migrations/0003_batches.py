"""Batches, the compute profiles that they run on, and what keeps their counts exact.

Processes of the release before go on working: what is added to their tables is null, and whatever
they do to the run of an item is counted like all else.
"""

from typing import Any

from peewee import Database, SqliteDatabase

from shared import clock
from shared.db import stamp

SQLITE = {
    "uuid": "TEXT",
    "utc": "TEXT",
    "json": "TEXT",
    "bool": "INTEGER",
    "bigint": "INTEGER",
    "double": "REAL",
}
POSTGRES = {
    "uuid": "UUID",
    "utc": "TIMESTAMPTZ",
    "json": "JSONB",
    "bool": "BOOLEAN",
    "bigint": "BIGINT",
    "double": "DOUBLE PRECISION",
}

STATEMENTS = """
CREATE TABLE compute_profile (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  description TEXT NOT NULL,
  queue VARCHAR(64) NOT NULL,
  instance_type TEXT,
  region TEXT,
  vcpu {double},
  memory_mb INTEGER,
  spot {bool} NOT NULL,
  price_per_hour NUMERIC(12, 6),
  max_workers INTEGER,
  version INTEGER NOT NULL,
  created_at {utc} NOT NULL,
  updated_at {utc} NOT NULL,
  deleted_at {utc},
  CONSTRAINT compute_profile_price CHECK (price_per_hour >= 0),
  CONSTRAINT compute_profile_max_workers CHECK (max_workers > 0),
  CONSTRAINT compute_profile_not_runs CHECK (queue <> 'runs')
);
CREATE UNIQUE INDEX compute_profile_queue ON compute_profile (queue);

CREATE TABLE batch (
  id {uuid} NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  status VARCHAR(16) NOT NULL,
  reason VARCHAR(32),
  retry_of {uuid},
  agent_id VARCHAR(64) NOT NULL,
  kind VARCHAR(64) NOT NULL,
  config {json} NOT NULL,
  compute {json} NOT NULL,
  compute_id VARCHAR(64) NOT NULL,
  queue VARCHAR(64) NOT NULL,
  price_per_hour NUMERIC(12, 6),
  timeout_seconds INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  retry_backoff_seconds INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  max_concurrency INTEGER,
  budget_usd NUMERIC(14, 6),
  deadline {utc},
  notify_agent_id VARCHAR(64),
  estimate {json} NOT NULL,
  samples {json} NOT NULL,
  sampled_at {utc},
  stalled_since {utc},
  created_at {utc} NOT NULL,
  received_at {utc} NOT NULL,
  accepted_at {utc},
  ending_at {utc},
  finished_at {utc},
  idempotency_key TEXT,
  request_hash TEXT,
  CONSTRAINT batch_ended
    CHECK ((status IN ('QUEUED', 'RUNNING', 'PAUSED')) = (finished_at IS NULL)),
  CONSTRAINT batch_paused CHECK (status <> 'PAUSED' OR reason IS NOT NULL),
  CONSTRAINT batch_budget CHECK (budget_usd > 0),
  CONSTRAINT batch_max_concurrency CHECK (max_concurrency > 0)
);
CREATE INDEX batch_live ON batch (queue) WHERE finished_at IS NULL;
CREATE INDEX batch_of_agent ON batch (agent_id, id);
CREATE UNIQUE INDEX batch_idempotency_key ON batch (idempotency_key)
  WHERE idempotency_key IS NOT NULL;

CREATE TABLE batch_progress (
  batch_id {uuid} NOT NULL PRIMARY KEY REFERENCES batch (id) ON DELETE CASCADE,
  total INTEGER NOT NULL,
  taken INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  running INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  costed INTEGER NOT NULL,
  agent_micros {bigint} NOT NULL,
  compute_micros {bigint} NOT NULL,
  squared_micros {double} NOT NULL,
  interruptions INTEGER NOT NULL,
  interrupted_micros {bigint} NOT NULL,
  started_at {utc},
  moved_at {utc} NOT NULL,
  CONSTRAINT batch_progress_counts
    CHECK (taken = queued + running + paused + completed + failed + cancelled),
  CONSTRAINT batch_progress_total CHECK (taken + dropped <= total)
);

CREATE TABLE batch_item (
  batch_id {uuid} NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
  item_index INTEGER NOT NULL,
  item_key TEXT,
  message TEXT NOT NULL,
  metadata {json} NOT NULL,
  PRIMARY KEY (batch_id, item_index)
);
CREATE UNIQUE INDEX batch_item_key ON batch_item (batch_id, item_key) WHERE item_key IS NOT NULL;

CREATE TABLE batch_worker (
  batch_id {uuid} NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
  worker_id VARCHAR(128) NOT NULL,
  hardware {json} NOT NULL,
  PRIMARY KEY (batch_id, worker_id)
);

ALTER TABLE run ADD COLUMN batch_id {uuid} REFERENCES batch (id) ON DELETE RESTRICT;
ALTER TABLE run ADD COLUMN item_index INTEGER;
ALTER TABLE run ADD COLUMN compute_usd NUMERIC(14, 6);
CREATE UNIQUE INDEX run_of_batch ON run (batch_id, item_index) WHERE batch_id IS NOT NULL;
CREATE INDEX run_item_queued ON run (batch_id, available_at)
  WHERE ((status = 'QUEUED') AND (batch_id IS NOT NULL));

ALTER TABLE worker ADD COLUMN compute_id VARCHAR(64);
ALTER TABLE worker ADD COLUMN hardware {json}
"""

# The machine that everything runs on where there is no other; it costs nothing more.
LOCAL = """
INSERT INTO compute_profile
  (id, description, queue, spot, price_per_hour, version, created_at, updated_at)
VALUES ('local', 'The machines of the workers that are there anyway.', 'local', {no}, 0, 1,
  '{now}', '{now}')
"""


_STATUSES = ("QUEUED", "RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED")
_MEASURED = "NEW.status IN ('COMPLETED', 'FAILED')"
_PUT_BACK = "OLD.status = 'RUNNING' AND NEW.uncounted > OLD.uncounted"
_LATEST = "COALESCE(NEW.finished_at, NEW.started_at)"


def _one_where(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _micros(column: str) -> str:
    return f"CAST(ROUND(COALESCE({column}, 0) * 1000000) AS BIGINT)"


_COMPUTED = f"{_micros('NEW.compute_usd')} - {_micros('OLD.compute_usd')}"
_COST = f"CAST({_micros('NEW.cost_usd')} + {_micros('NEW.compute_usd')} AS DOUBLE PRECISION)"
# What the move of a run from OLD to NEW adds to each column of its batch's progress.
_ADDED = {
    status.lower(): f"{_one_where(f'NEW.status = {status!r}')}"
    f" - {_one_where(f'OLD.status = {status!r}')}"
    for status in _STATUSES
} | {
    "costed": _one_where(f"{_MEASURED} AND NEW.cost_usd IS NOT NULL"),
    "agent_micros": f"CASE WHEN NEW.finished_at IS NOT NULL THEN {_micros('NEW.cost_usd')}"
    " ELSE 0 END",
    "compute_micros": _COMPUTED,
    "squared_micros": f"CASE WHEN {_MEASURED} THEN {_COST} * {_COST} ELSE 0 END",
    "interruptions": _one_where(_PUT_BACK),
    "interrupted_micros": f"CASE WHEN {_PUT_BACK} THEN {_COMPUTED} ELSE 0 END",
}

SQLITE_TRIGGER = (
    f"""
    CREATE TRIGGER run_items_moved AFTER UPDATE OF status ON run
    WHEN NEW.batch_id IS NOT NULL AND OLD.status <> NEW.status
    BEGIN
      UPDATE batch SET status = 'RUNNING'
      WHERE id = NEW.batch_id AND status = 'QUEUED' AND NEW.status = 'RUNNING';
      UPDATE batch_progress SET
        {", ".join(f"{name} = {name} + ({added})" for name, added in _ADDED.items())},
        started_at = COALESCE(started_at, NEW.started_at),
        moved_at = CASE WHEN {_LATEST} > moved_at THEN {_LATEST} ELSE moved_at END
      WHERE batch_id = NEW.batch_id;
    END
    """,
)
# Once a statement, so that those who move runs of several batches lock these in one order; and
# batches before their progress, as whoever takes items of them does.
POSTGRES_TRIGGER = (
    f"""
    CREATE FUNCTION run_items_moved() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      batches UUID[];
    BEGIN
      IF NOT EXISTS (SELECT FROM after WHERE batch_id IS NOT NULL) THEN
        RETURN NULL;
      END IF;
      batches := ARRAY(
        SELECT DISTINCT NEW.batch_id FROM after AS new_run JOIN before AS old_run ON OLD.id = NEW.id
        WHERE NEW.batch_id IS NOT NULL AND OLD.status <> NEW.status
      );
      IF cardinality(batches) = 0 THEN
        RETURN NULL;
      END IF;
      IF EXISTS (SELECT FROM after WHERE status = 'RUNNING') THEN
        PERFORM FROM batch WHERE id = ANY(batches) AND status = 'QUEUED'
        ORDER BY id FOR NO KEY UPDATE;
        UPDATE batch SET status = 'RUNNING' WHERE id = ANY(batches) AND status = 'QUEUED';
      END IF;
      IF cardinality(batches) > 1 THEN
        PERFORM FROM batch_progress WHERE batch_id = ANY(batches)
        ORDER BY batch_id FOR NO KEY UPDATE;
      END IF;
      UPDATE batch_progress p SET
        {", ".join(f"{name} = p.{name} + moved.{name}" for name in _ADDED)},
        started_at = COALESCE(p.started_at, moved.started_at),
        moved_at = GREATEST(p.moved_at, moved.moved_at)
      FROM (
        SELECT NEW.batch_id,
          {", ".join(f"SUM({added}) AS {name}" for name, added in _ADDED.items())},
          MIN(NEW.started_at) AS started_at, MAX({_LATEST}) AS moved_at
        FROM after AS new_run JOIN before AS old_run ON OLD.id = NEW.id
        WHERE NEW.batch_id IS NOT NULL AND OLD.status <> NEW.status
        GROUP BY NEW.batch_id
      ) moved
      WHERE p.batch_id = moved.batch_id;
      RETURN NULL;
    END $$
    """.replace("NEW.", "new_run.").replace("OLD.", "old_run."),
    """
    CREATE TRIGGER run_items_moved AFTER UPDATE ON run
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION run_items_moved()
    """,
)


def up(migrator: Any, db: Database) -> None:
    """Make the tables, the trigger, and the profile that exists from the start."""
    is_sqlite = isinstance(db, SqliteDatabase)
    for statement in STATEMENTS.format(**SQLITE if is_sqlite else POSTGRES).split(";"):
        db.execute_sql(statement)
    for statement in SQLITE_TRIGGER if is_sqlite else POSTGRES_TRIGGER:
        db.execute_sql(statement)
    db.execute_sql(LOCAL.format(no="0" if is_sqlite else "FALSE", now=stamp(clock.now())))
