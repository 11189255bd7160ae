"""The release before, as far as the database sees of it: the statements of the time when that had
its first migration only. They are what was released, and are never to be mended.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from shared import clock, db
from shared.db import stamp

T = TypeVar("T")

_SCHEDULE = """
    INSERT INTO schedule (id, name, agent_id, message, run_at, timezone, enabled, overlap_policy,
      catch_up_policy, catch_up_window_seconds, jitter_seconds, max_attempts,
      retry_backoff_seconds, priority, tags, description, next_run_at, version, created_at,
      updated_at)
    VALUES (:id, 'Of old', :agent_id, 'Go', :run_at, 'UTC', :true, 'SKIP', 'LATEST', 3600, 0, 3, 30,
      5, '[]', '', :run_at, 1, :now, :now)
"""
_RUN = """
    INSERT INTO run (id, trigger, queue, queued_at, available_at, dispatch_at, status, metadata,
      dispatches, attempt, uncounted, session_id, agent_id, kind, config, message, timeout_seconds,
      max_attempts, retry_backoff_seconds, priority)
    SELECT :id, 'API', 'runs', :now, :now, :now, 'QUEUED', '{}', 0, 0, 0, :id, a.id, a.kind,
      a.config, 'Go', a.timeout_seconds, 3, 30, 5
    FROM agent a WHERE a.id = :agent_id
"""
_DUE = """
    SELECT s.id, s.next_run_at FROM schedule s JOIN agent a ON a.id = s.agent_id
    WHERE s.enabled AND s.next_run_at <= :now AND s.run_at IS NOT NULL
    ORDER BY s.next_run_at LIMIT 1 {locking}
"""
_RECORD = """
    INSERT INTO run (id, trigger, queue, queued_at, available_at, dispatch_at, status, metadata,
      dispatches, attempt, uncounted, session_id, schedule_id, agent_id, kind, config, message,
      timeout_seconds, max_attempts, retry_backoff_seconds, priority, scheduled_for)
    SELECT :id, 'SCHEDULE', 'runs', :now, :at, :at, 'QUEUED', '{}', 0, 0, 0, :id, s.id, s.agent_id,
      a.kind, a.config, s.message, a.timeout_seconds, s.max_attempts, s.retry_backoff_seconds,
      s.priority, :at
    FROM schedule s JOIN agent a ON a.id = s.agent_id
    WHERE s.id = :schedule_id ON CONFLICT DO NOTHING
"""
_MOVE_ON = """
    UPDATE schedule SET next_run_at = NULL, enabled = :false, last_run_id = :id
    WHERE id = :schedule_id
"""
_READY = """
    SELECT id, dispatches FROM run {by_queue}
    WHERE status = 'QUEUED' AND dispatch_at <= :now
      AND agent_id NOT IN (SELECT id FROM agent WHERE max_concurrency IS NOT NULL)
    ORDER BY priority DESC, dispatch_at LIMIT 3 {locking}
"""
_MARK_SENT = "UPDATE run SET dispatches = dispatches + 1, dispatch_at = :at WHERE id = :id"
_ENTER = """
    INSERT INTO worker (id, host, pid, threads, queues, version, started_at, heartbeat_at)
    VALUES (:worker, 'old', 1, 1, '["runs"]', '0.0.9', :now, :now)
"""
_SEEN = "UPDATE worker SET heartbeat_at = :now WHERE id = :worker"
_CLAIM = """
    UPDATE run SET status = 'RUNNING', attempt = attempt + 1, worker_id = :worker,
      leased_by = :worker, lease_until = :lease_until, started_at = :now
    WHERE id = :id AND status = 'QUEUED' AND dispatches > 0
      AND attempt - uncounted < max_attempts
    RETURNING id, attempt, uncounted, agent_id, schedule_id, scheduled_for, kind, config, message,
      timeout_seconds, max_attempts, retry_backoff_seconds
"""
_RENEW = """
    UPDATE run SET lease_until = :lease_until
    WHERE id = :id AND status = 'RUNNING' AND leased_by = :worker
    RETURNING id, attempt, cancel_requested_at
"""
_REPORT = """
    INSERT INTO run_event (run_id, seq, at, attempt, type, data)
    SELECT run.id, 1 + (SELECT COALESCE(MAX(seq), 0) FROM run_event e WHERE e.run_id = run.id),
      :now, :attempt, 'log', '{"message": "Of old"}'
    FROM run WHERE run.id = :id AND run.attempt = :attempt
"""
_FINISH = """
    UPDATE run SET status = 'COMPLETED', finished_at = :now, leased_by = NULL, lease_until = NULL,
      content = :content, error = NULL, model = NULL, input_tokens = 1, output_tokens = 2,
      cost_usd = NULL, metadata = COALESCE(NULL, metadata)
    WHERE id = :id AND status = 'RUNNING' AND attempt = :attempt
"""
_LEASE = timedelta(seconds=30)
_PAUSE_SECONDS = 0.05


class FirstRelease:
    """A scheduler, a worker and an API of the first release. As a context, the first two work."""

    def __init__(self, outside: Path) -> None:
        self._outside = outside
        self._worker = f"old:{uuid4()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="first release", daemon=True)
        #: What it could not do, against all expectation.
        self.failed: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def schedule(self, agent_id: str, run_at: datetime) -> UUID:
        """Make a schedule that fires once."""
        schedule_id = uuid4()
        values = {"id": schedule_id.hex, "agent_id": agent_id, "run_at": stamp(run_at)}
        with db.transaction():
            _execute(_SCHEDULE, values)
        return schedule_id

    def run(self, agent_id: str) -> str:
        """Have an agent run now."""
        run_id = uuid4()
        with db.transaction():
            _execute(_RUN, {"id": run_id.hex, "agent_id": agent_id})
        return str(run_id)

    def _run(self) -> None:
        try:
            with db.connection():
                _execute(_ENTER, {"worker": self._worker})
            while not self._stop.wait(_PAUSE_SECONDS):
                _insist(self._tick)
                for run_id in _insist(self._dispatch):
                    self._work(run_id)
        except Exception as error:  # It is the test that tells of it.
            self.failed.append(error)
        finally:
            db.proxy.close()

    def _tick(self) -> None:
        with db.transaction():
            locking = db.locking("FOR NO KEY UPDATE OF s SKIP LOCKED FOR SHARE OF a")
            for schedule_id, at in _execute(_DUE.format(locking=locking)).fetchall():
                moved = {"id": uuid4().hex, "schedule_id": db.uuid_hex(schedule_id)}
                _execute(_RECORD, {**moved, "at": stamp(db.instant(at))})
                _execute(_MOVE_ON, moved)

    def _dispatch(self) -> list[str]:
        with db.transaction():
            sql = _READY.format(
                by_queue=db.indexed_by("run_queued"), locking=db.locking("FOR UPDATE SKIP LOCKED")
            )
            ready = [db.uuid_hex(run_id) for run_id, _ in _execute(sql).fetchall()]
            for run_id in ready:
                _execute(_MARK_SENT, {"id": run_id, "at": stamp(clock.now() + _LEASE)})
        return ready

    def _work(self, run_id: str) -> None:
        held: dict[str, Any] = {
            "id": run_id,
            "worker": self._worker,
            "lease_until": stamp(clock.now() + _LEASE),
        }

        def claim() -> Any:
            with db.connection():
                _execute(_SEEN, held)
                return _execute(_CLAIM, held).fetchone()

        claimed = _insist(claim)
        if claimed is None:
            return
        held["attempt"] = claimed[1]
        content = f"Of old (attempt {claimed[1]})"

        def renew() -> None:
            with db.connection():
                _execute(_RENEW, held).fetchall()
                _execute(_REPORT, held)

        def finish() -> None:
            with db.connection():
                _execute(_FINISH, {**held, "content": content})

        self._tell("began", claimed)
        _insist(renew)
        self._tell("ended", claimed, content=content)
        _insist(finish)

    def _tell(self, what: str, claimed: tuple[Any, ...], **more: str) -> None:
        id, attempt, _, agent_id, schedule_id, scheduled_for, *_ = claimed
        line = {
            "what": what,
            "run": db.uuid_hex(id),
            "attempt": attempt,
            "agent": agent_id,
            "schedule": schedule_id and db.uuid_hex(schedule_id),
            "scheduledFor": scheduled_for and stamp(db.instant(scheduled_for)),
            "at": clock.now().isoformat(),
            "monotonic": time.monotonic(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            **more,
        }
        with self._outside.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _insist(work: Callable[[], T]) -> T:
    """Do *work*; again, if a migration that runs meanwhile has had it rolled back."""
    while True:
        try:
            return work()
        except db.UNREACHABLE as error:
            if "deadlock" not in str(error):
                raise


def _execute(sql: str, values: dict[str, Any] | None = None) -> Any:
    always = {"now": stamp(clock.now()), "true": True, "false": False}
    return db.execute(sql, {**always, **(values or {})})
