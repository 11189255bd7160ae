"""One run, from claim to finish."""

import logging
import time
from datetime import datetime, timedelta
from uuid import UUID

from shared import clock, db, failpoints, runs, tally
from shared.attempts import Claimed, Lease, Outcome
from shared.log import Trouble
from shared.settings import Settings
from shared.states import CANCELLED, FAILED
from shared.tally import Count
from worker.agents.stop import StopReason
from worker.attempt import Attempt, Retryable, Verdict
from worker.heartbeat import Heartbeat
from worker.reporter import Reporter

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 1.0


class Runner:
    """Executes runs for one worker process, on as many threads as call it."""

    def __init__(self, worker: str, settings: Settings, heartbeat: Heartbeat) -> None:
        self._worker = worker
        self._settings = settings
        self._heartbeat = heartbeat
        self._draining = False
        self._trouble = Trouble(logger, "record what came of a run")

    def drain(self) -> None:
        """Claim nothing from now on."""
        self._draining = True

    def execute(self, run_id: UUID) -> None:
        """Execute a run, if it is still to be had: another delivery may have claimed it."""
        failpoints.reach("worker.before_claim")
        try:
            with db.connection():
                now, since = clock.now(), clock.monotonic()
                if self._draining:
                    runs.hand_back(run_id, now=now)
                    return
                run = runs.claim(run_id, self._worker, lease=self._settings.run_lease, now=now)
                if run is None:
                    tally.add(Count.DUPLICATE_DELIVERIES)
                    return
                previous_success = runs.previous_success(run)
        except db.UNREACHABLE as error:
            # If it was claimed all the same, nobody renews its lease.
            tally.add(Count.DATABASE_RETRIES)
            logger.error("run %s left to be dispatched again: %s", run_id, error)
            return
        failpoints.reach("worker.after_claim")
        held = Lease(run.id, run.attempt)
        logger.info("run %s claimed: attempt %d of agent %s", run.id, run.attempt, run.agent_id)
        reporter = Reporter(held)
        attempt = Attempt(run, self._settings, previous_success=previous_success)
        timeout = timedelta(seconds=run.timeout_seconds)
        with self._heartbeat.keeping(held, timeout, reporter, since=since) as work:
            verdict = attempt.make(work.stop, reporter.report, clock.now())
            work.agent_ended = True
            failpoints.reach("worker.before_finish")
            became = self._record(run, held, verdict, reporter)
            failpoints.reach("worker.after_finish")
        if became is None:
            tally.add(Count.LATE_WRITES_REFUSED)
            logger.warning("run %s was no longer ours; what came of it is dropped", run.id)
        else:
            logger.info("run %s %s", run.id, became)

    def _record(
        self, run: Claimed, held: Lease, verdict: Verdict, reporter: Reporter
    ) -> str | None:
        """Write *verdict* down, however long the database takes to be there."""
        in_doubt = False
        while True:
            now = clock.now()
            try:
                with db.connection():
                    reporter.write(now)
                    became = move(run, held, verdict, now)
                    if became is None and in_doubt and not runs.is_lost(held):
                        became = "recorded, though the answer to that was lost"
            except db.UNREACHABLE as error:
                # Should the lease run out meanwhile, the fence keeps this from being written. Or it
                # was written, and the answer was lost.
                in_doubt = True
                self._trouble.begins(error)
                tally.add(Count.DATABASE_RETRIES)
                time.sleep(_TRY_AGAIN_SECONDS)
            else:
                self._trouble.ends()
                return became


def move(run: Claimed, held: Lease, verdict: Verdict, now: datetime) -> str | None:
    """Make the move that *verdict* asks for; what became of the run. None: it is not ours."""
    match verdict:
        case Outcome():
            return _said(verdict) if runs.finish(held, verdict, now=now) else None
        case Retryable(error):
            at = runs.next_attempt_at(run, now=now)
            if at is None:
                return move(run, held, Outcome(status=FAILED, error=error), now)
            if runs.retry_later(held, error, at=at, now=now):
                return f"queued again for {at}: {error['message']}"
        case StopReason.DRAINED:
            if runs.release(held, now=now):
                return "put back"
        case _:
            return None
    # Not to be queued again: it was cancelled meanwhile, or it is lost.
    return "CANCELLED" if runs.finish(held, Outcome(status=CANCELLED), now=now) else None


def _said(outcome: Outcome) -> str:
    if outcome.error is None:
        return outcome.status.value
    return f"{outcome.status}, {outcome.error['code']}: {outcome.error['message']}"
