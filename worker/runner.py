"""The runs of a worker process: taken as they are fetched, executed, and let go when recorded."""

import logging
import threading
from collections.abc import Collection, Iterable
from uuid import UUID

from shared import clock, conversations, db, failpoints, runs, tally
from shared.attempts import Claimed, Outcome, Usage, failure
from shared.batches import moves
from shared.batches.estimates import compute_usd
from shared.conversations import Memory
from shared.messages import RUNS_QUEUE
from shared.settings import Settings
from shared.states import FAILED, ErrorCode
from shared.tally import Count
from worker.agents.stop import StopReason
from worker.attempt import Attempt, Verdict, stopped
from worker.heartbeat import Heartbeat, Work
from worker.recorder import Recorder
from worker.reports import Reports

logger = logging.getLogger(__name__)


class Runner:
    """Holds a run for each thread, and at most as many again that are only being recorded.

    Threads that execute never speak to the database: who fetches claims for all of them, and the
    recorder writes for all of them, many runs with one statement where many come at once. What they
    report meanwhile a third thread writes.
    """

    def __init__(
        self, worker: str, settings: Settings, heartbeat: Heartbeat, queue: str = RUNS_QUEUE
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._settings = settings
        self._heartbeat = heartbeat
        self._recorder = Recorder(self._let_go)
        self._reports = Reports(lambda: [work.reporter for work in heartbeat.holding()])
        self._taken: dict[UUID, Work] = {}
        # The batches of which it is on record that this worker runs items of theirs.
        self._joined: set[UUID] = set()
        self._free = settings.worker_threads
        # Of what was taken, what is not recorded yet. It would be lost with this process.
        self._held, self._most_held = 0, 2 * settings.worker_threads
        self._freed = threading.Condition()
        self._draining = False

    def start(self) -> None:
        """Start to record what came of runs, and what happens in them."""
        self._recorder.start()
        self._reports.start()

    def drain(self) -> None:
        """Claim nothing from now on."""
        self._draining = True

    def close(self) -> None:
        """Record what is left; nothing can be executed any more."""
        self._reports.close()
        self._recorder.close()

    def is_alive(self) -> bool:
        """Whether what comes of runs is recorded."""
        return self._recorder.is_alive() and self._reports.is_alive()

    def room(self, seconds: float) -> int:
        """How many more runs can be taken; waits for *seconds* at most while it is none."""
        with self._freed:
            self._freed.wait_for(lambda: self._room() > 0, seconds)
            return self._room()

    def _room(self) -> int:
        return min(self._free, self._most_held - self._held)

    def take(self, run_ids: Collection[UUID]) -> list[UUID]:
        """Claim those of *run_ids* that are still to be had, each to be executed once.

        Of the others another message was, or is here, delivered.
        """
        failpoints.reach("worker.before_claim")
        try:
            with db.connection():
                now, since = self._heartbeat.clock.now(), clock.monotonic()
                if self._draining:
                    runs.hand_back(run_ids, now=now)
                    return []
                lease = self._settings.run_lease
                claimed = runs.claim(run_ids, self._worker, lease=lease, now=now, queue=self._queue)
                memories = _recalled([run for run in claimed if conversations.recalls(run)])
        except db.UNREACHABLE as error:
            # What was claimed all the same, nobody renews the lease of.
            tally.add(Count.DATABASE_RETRIES)
            logger.error("%d runs left to be dispatched again: %s", len(run_ids), error)
            return []
        if len(claimed) < len(run_ids):
            tally.add(Count.DUPLICATE_DELIVERIES, len(run_ids) - len(claimed))
        with self._freed:
            self._free -= len(claimed)
            self._held += len(claimed)
        for run in claimed:
            if run.id in self._taken:
                # Nobody had begun with it when it was lost, and came back.
                self._give_up(self._taken.pop(run.id))
            memory = memories.get(run.id)
            work = self._heartbeat.keep(run, since=since, leave=self._leave, memory=memory)
            if memory is None and conversations.recalls(run):
                self._ended(work, _unreadable(run))
            else:
                self._taken[run.id] = work
        self._join({run.batch_id for run in claimed if run.batch_id is not None} - self._joined)
        return [run.id for run in claimed if run.id in self._taken]

    def _join(self, batch_ids: set[UUID]) -> None:
        """Put on record that this worker runs items of those batches; if not now, next time."""
        if not batch_ids:
            return
        try:
            moves.join(batch_ids, self._worker)
        except db.UNREACHABLE as error:
            tally.add(Count.DATABASE_RETRIES)
            logger.warning("not noted yet that %d batches run here: %s", len(batch_ids), error)
        else:
            self._joined |= batch_ids

    def put_back(self, run_ids: Iterable[UUID]) -> None:
        """Have runs executed elsewhere that were taken here, and not begun with."""
        for run_id in run_ids:
            work = self._taken.pop(run_id, None)
            if work is not None:
                self._ended(work, StopReason.DRAINED)

    def execute(self, run_id: UUID) -> None:
        """Execute a run that was taken; what comes of it is recorded soon after."""
        work = self._taken.pop(run_id, None)
        if work is None:
            return  # It was lost, taken again, and has been executed by then.
        try:
            failpoints.reach("worker.after_claim")
            run = work.run
            logger.info("run %s claimed: attempt %d of agent %s", run.id, run.attempt, run.agent_id)
            # The process may have been frozen since it was taken.
            self._heartbeat.stop_overdue()
            attempt = Attempt(run, work.memory, self._settings)
            verdict = attempt.make(work.stop, work.reporter, clock.now())
            failpoints.reach("worker.before_finish")
        except BaseException:
            # Its lease runs out.
            self._give_up(work)
            raise
        self._ended(work, verdict)

    def _ended(self, work: Work, verdict: Verdict) -> None:
        self._price(work)
        self._free_a_thread(work)
        self._recorder.record(work, verdict)

    def _price(self, work: Work) -> None:
        """Work out what the attempt has cost as time on this machine, if that has a price."""
        if work.run.price_per_hour is not None:
            seconds = clock.monotonic() - work.since
            threads = self._settings.worker_threads
            cost = compute_usd(seconds, work.run.price_per_hour, threads)
            work.reporter.use(Usage(compute_usd=cost))

    def _give_up(self, work: Work) -> None:
        self._free_a_thread(work)
        self._let_go([work])

    def _free_a_thread(self, work: Work) -> None:
        """Have the next run begin, while this one is recorded."""
        work.agent_ended = True
        with self._freed:
            self._free += 1
            self._freed.notify()

    def _leave(self, work: Work) -> None:
        """Record what came of a run whose agent ignores being stopped, and keeps its thread."""
        assert work.stop.reason is not None
        self._price(work)
        self._recorder.record(work, stopped(work.run, work.stop.reason))

    def _let_go(self, works: Iterable[Work]) -> None:
        let_go = self._heartbeat.let_go(work for work in works if work.agent_ended)
        with self._freed:
            self._held -= let_go
            self._freed.notify()


def _recalled(claimed: Collection[Claimed]) -> dict[UUID, Memory]:
    """What each of those runs can know, without those of which that cannot be read."""
    if not claimed:
        return {}
    try:
        return conversations.recall(claimed)
    except conversations.UNREADABLE as error:
        # It may be about one of them alone.
        if len(claimed) > 1:
            return {id: memory for run in claimed for id, memory in _recalled([run]).items()}
        for run in claimed:
            logger.error("run %s: what was kept for it cannot be read: %s", run.id, error)
        return {}


def _unreadable(run: Claimed) -> Outcome:
    """What comes of a run that cannot go on from what was kept for it."""
    says = (
        "What was kept for this run cannot be read. Retry it; should that fail too, delete its"
        f" session {run.session_id}, in which nothing can be remembered any more."
    )
    return Outcome(status=FAILED, error=failure(ErrorCode.REJECTED, says))
