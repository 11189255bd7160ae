"""The scheduler's five duties, in turn: tick, dispatch, see to batches, reap, prune."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from scheduler.dispatching import Dispatching
from scheduler.pruner import Pruner
from scheduler.reaper import Reaper
from scheduler.tick import tick
from shared import clock, db, due, leases, processes, runs, tally
from shared.batches.oversight import Overseer
from shared.clock_watch import ClockWatch
from shared.log import Trouble
from shared.process import StopFlag
from shared.reference import ReferenceClock
from shared.settings import Settings
from shared.tally import Count

logger = logging.getLogger(__name__)

_AT_LEAST_SECONDS = 0.02
_TRY_AGAIN_SECONDS = 0.5
_NOTE_SECONDS = 1.0
_PRUNE_SECONDS = 600.0
# While there is more to prune; in between, the other duties have their turn.
_PRUNE_MORE_SECONDS = 0.1


class Scheduler:
    """A scheduler process: any number of them may run at once, and none leads."""

    def __init__(self, settings: Settings) -> None:
        self.id = processes.new_id()
        self._settings = settings
        self._dispatching = Dispatching(settings)
        self._overseer = Overseer(settings.batch_stall)
        self._pruner = Pruner(settings.retention_days)
        self._reaper = Reaper(settings.run_lease)
        self._clock_watch = ClockWatch()
        self._clock = ReferenceClock(clock.now)
        self._troubles: dict[str, Trouble] = {}
        self._registered = False
        self._minute: datetime | None = None
        self._note_due = 0.0
        self._slowest = self._latest = timedelta()
        self._batches_due = self._reap_due = self._prune_due = 0.0

    def run(self, stop: StopFlag) -> None:
        """Work until *stop* is raised."""
        logger.info("scheduler %s started", self.id)
        while not stop.is_set():
            if self._attend("ask the database for the time", self._clock.look):
                stop.wait(self.work(self._clock.now()))
            else:
                stop.wait(_TRY_AGAIN_SECONDS)
        self._attend("write down its counts", self._save_tally)
        self._attend("note its end", lambda: processes.scheduler_stopped(self.id, now=clock.now()))
        logger.info("scheduler %s stopped", self.id)

    def work(self, now: datetime) -> float:
        """Do what is to be done at *now*; in how many seconds there is more.

        A duty that fails is tried again next time, and keeps no other from being done.
        """
        self._clock_watch.look(clock.now(), clock.monotonic())
        if not self._registered:
            self._attend("enter itself into the database", lambda: self._register(now))
        self._attend("tick", lambda: self._tick(now))
        self._dispatching.dispatch(self._clock.now, self._attend)
        moment = clock.monotonic()
        if moment >= self._batches_due:
            self._batches_due = moment + self._settings.dispatch_interval.total_seconds()
            self._attend("see to batches", lambda: self._overseer.attend(self._clock.now()))
        if moment >= self._reap_due:
            self._reap_due = moment + self._settings.reap_interval.total_seconds()
            self._attend("reap", self._reap)
            self._attend("end what nobody answered", self._expire)
            self._attend("write down its counts", self._save_tally)
        if moment >= self._prune_due:
            self._attend("prune", self._prune)
        return self._idle_seconds(seen=now)

    def _attend(self, doing: str, duty: Callable[[], object]) -> bool:
        """Do *duty*; whether it was done."""
        trouble = self._troubles.setdefault(doing, Trouble(logger, doing))
        try:
            duty()
        except Exception as error:
            # Whatever it is: it must not keep the other duties from being done.
            if isinstance(error, db.UNREACHABLE):
                tally.add(Count.DATABASE_RETRIES)
            logger.debug("cannot %s", doing, exc_info=error)
            trouble.begins(error)
            return False
        trouble.ends()
        return True

    def _register(self, now: datetime) -> None:
        processes.scheduler_started(self.id, now=now)
        self._registered = True

    def _tick(self, now: datetime) -> None:
        started = clock.monotonic()
        settled, lag = tick(now, self._dispatching.runs, batch=self._settings.tick_batch)
        if self._dispatching.runs.left_behind:
            # What the tick could not send itself must not wait.
            self._dispatching.hurry()
        minute = now.replace(second=0, microsecond=0)
        self._slowest = max(self._slowest, timedelta(seconds=clock.monotonic() - started))
        self._latest = max(self._latest, lag)
        # Ticks may follow closely on each other; a note of each would cost more than they do.
        if minute != self._minute or (settled and started >= self._note_due):
            processes.scheduler_ticked(self.id, took=self._slowest, lag=self._latest, now=now)
            self._slowest = self._latest = timedelta()
            self._minute = minute
            self._note_due = started + _NOTE_SECONDS

    def _prune(self) -> None:
        self._prune_due = clock.monotonic() + _PRUNE_SECONDS
        if self._pruner.prune(self._clock.now()):
            self._prune_due = clock.monotonic() + _PRUNE_MORE_SECONDS

    def _reap(self) -> None:
        with db.connection():
            held = leases.held()
            self._reaper.reap(held, now=self._clock.now(), moment=clock.monotonic())

    def _expire(self) -> None:
        with db.connection():
            for run_id in runs.expire(self._clock.now()):
                logger.info("run %s failed: nobody answered in time", run_id)

    def _save_tally(self) -> None:
        tally.save(self.id, now=clock.now())

    def _idle_seconds(self, *, seen: datetime) -> float:
        """How long to sleep: until the next duty, the next minute, or the next fire time.

        *seen*: up to when the tick has looked.
        """
        moment = clock.monotonic()
        dues = (self._dispatching.due(), self._batches_due, self._reap_due, self._prune_due)
        idle = min(dues) - moment
        now = self._clock.now()
        waits = [(clock.next_minute(now) - now).total_seconds()]
        try:
            due_at = due.next_due_at()
        except db.UNREACHABLE:
            due_at = None  # Said by the tick, which comes again with the next duty.
        if due_at is not None:
            # What the tick has seen and not settled it could not: not at once again.
            settled = due_at > seen
            waits.append((due_at - now).total_seconds() if settled else _AT_LEAST_SECONDS)
        return max(0.0, min(idle, *waits))
