"""The first tables: agents, schedules, runs and their events, processes, tokens, audit."""

from typing import Any

from peewee import Database, SqliteDatabase

SQLITE = {"uuid": "TEXT", "utc": "TEXT", "json": "TEXT", "bool": "INTEGER"}
POSTGRES = {"uuid": "UUID", "utc": "TIMESTAMPTZ", "json": "JSONB", "bool": "BOOLEAN"}

STATEMENTS = """
CREATE TABLE agent (
  id VARCHAR(64) NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  kind VARCHAR(64) NOT NULL,
  config {json} NOT NULL,
  enabled {bool} NOT NULL,
  timeout_seconds INTEGER NOT NULL,
  max_concurrency INTEGER,
  version INTEGER NOT NULL,
  created_at {utc} NOT NULL,
  updated_at {utc} NOT NULL,
  deleted_at {utc},
  CONSTRAINT agent_timeout CHECK (timeout_seconds > 0),
  CONSTRAINT agent_max_concurrency CHECK (max_concurrency > 0)
);

CREATE TABLE schedule (
  id {uuid} NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  agent_id VARCHAR(64) NOT NULL REFERENCES agent (id) ON DELETE RESTRICT,
  message TEXT NOT NULL,
  cron_expression TEXT,
  run_at {utc},
  timezone TEXT NOT NULL,
  enabled {bool} NOT NULL,
  start_at {utc},
  end_at {utc},
  overlap_policy VARCHAR(32) NOT NULL,
  catch_up_policy VARCHAR(32) NOT NULL,
  catch_up_window_seconds INTEGER NOT NULL,
  jitter_seconds INTEGER NOT NULL,
  timeout_seconds INTEGER,
  max_attempts INTEGER NOT NULL,
  retry_backoff_seconds INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  tags {json} NOT NULL,
  description TEXT NOT NULL,
  error TEXT,
  next_run_at {utc},
  last_run_id {uuid},
  idempotency_key TEXT,
  request_hash TEXT,
  version INTEGER NOT NULL,
  created_at {utc} NOT NULL,
  updated_at {utc} NOT NULL,
  deleted_at {utc},
  CONSTRAINT schedule_when CHECK ((cron_expression IS NULL) <> (run_at IS NULL)),
  CONSTRAINT schedule_max_attempts CHECK (max_attempts > 0),
  CONSTRAINT schedule_deleted CHECK (deleted_at IS NULL OR NOT enabled)
);
CREATE UNIQUE INDEX schedule_idempotency_key ON schedule (idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX schedule_due ON schedule (next_run_at) WHERE enabled;
CREATE INDEX schedule_agent ON schedule (agent_id);

CREATE TABLE run (
  id {uuid} NOT NULL PRIMARY KEY,
  schedule_id {uuid} REFERENCES schedule (id) ON DELETE RESTRICT,
  agent_id VARCHAR(64) NOT NULL,
  session_id {uuid} NOT NULL,
  retry_of {uuid},
  trigger VARCHAR(16) NOT NULL,
  status VARCHAR(16) NOT NULL,
  kind VARCHAR(64) NOT NULL,
  config {json} NOT NULL,
  message TEXT NOT NULL,
  metadata {json} NOT NULL,
  timeout_seconds INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  retry_backoff_seconds INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  queue VARCHAR(64) NOT NULL,
  scheduled_for {utc},
  missed_until {utc},
  missed_count INTEGER,
  queued_at {utc} NOT NULL,
  available_at {utc} NOT NULL,
  dispatch_at {utc} NOT NULL,
  dispatches INTEGER NOT NULL,
  started_at {utc},
  finished_at {utc},
  attempt INTEGER NOT NULL,
  uncounted INTEGER NOT NULL,
  worker_id VARCHAR(128),
  leased_by VARCHAR(128),
  lease_until {utc},
  cancel_requested_at {utc},
  content TEXT,
  error {json},
  model TEXT,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cost_usd NUMERIC(14, 6),
  idempotency_key TEXT,
  request_hash TEXT,
  CONSTRAINT run_held CHECK ((status = 'RUNNING') = (leased_by IS NOT NULL)),
  CONSTRAINT run_lease CHECK ((leased_by IS NULL) = (lease_until IS NULL)),
  CONSTRAINT run_ended
    CHECK ((status IN ('QUEUED', 'RUNNING', 'PAUSED')) = (finished_at IS NULL)),
  CONSTRAINT run_attempts CHECK (attempt - uncounted <= max_attempts),
  CONSTRAINT run_missed CHECK ((status = 'MISSED') = (missed_count IS NOT NULL))
);
CREATE UNIQUE INDEX run_schedule_id_scheduled_for ON run (schedule_id, scheduled_for);
CREATE UNIQUE INDEX run_idempotency_key ON run (idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX run_queued ON run (priority DESC, dispatch_at) WHERE status = 'QUEUED';
CREATE INDEX run_leased ON run (lease_until) WHERE status = 'RUNNING';
CREATE INDEX run_active ON run (schedule_id) WHERE finished_at IS NULL;
CREATE INDEX run_of_schedule ON run (schedule_id, id);
CREATE INDEX run_of_agent ON run (agent_id, id);

CREATE TABLE run_event (
  run_id {uuid} NOT NULL REFERENCES run (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  at {utc} NOT NULL,
  attempt INTEGER NOT NULL,
  type VARCHAR(64) NOT NULL,
  data {json} NOT NULL,
  PRIMARY KEY (run_id, seq)
);

CREATE TABLE worker (
  id VARCHAR(128) NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  threads INTEGER NOT NULL,
  queues {json} NOT NULL,
  version TEXT NOT NULL,
  started_at {utc} NOT NULL,
  heartbeat_at {utc} NOT NULL,
  stopped_at {utc}
);

CREATE TABLE scheduler (
  id VARCHAR(128) NOT NULL PRIMARY KEY,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  version TEXT NOT NULL,
  started_at {utc} NOT NULL,
  last_tick_at {utc},
  last_tick_ms INTEGER,
  stopped_at {utc}
);

CREATE TABLE api_token (
  id {uuid} NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  role VARCHAR(16) NOT NULL,
  prefix VARCHAR(16) NOT NULL,
  token_hash VARCHAR(64) NOT NULL,
  created_at {utc} NOT NULL,
  expires_at {utc},
  revoked_at {utc}
);
CREATE UNIQUE INDEX api_token_token_hash ON api_token (token_hash);

CREATE TABLE audit_event (
  id {uuid} NOT NULL PRIMARY KEY,
  at {utc} NOT NULL,
  actor TEXT NOT NULL,
  token_id {uuid},
  action VARCHAR(64) NOT NULL,
  resource_type VARCHAR(32) NOT NULL,
  resource_id TEXT NOT NULL,
  changes {json} NOT NULL
)
"""


def up(migrator: Any, db: Database) -> None:
    """Make the tables."""
    words = SQLITE if isinstance(db, SqliteDatabase) else POSTGRES
    for statement in STATEMENTS.format(**words).split(";"):
        db.execute_sql(statement)
