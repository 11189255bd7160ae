"""What this process holds: leases renewed while agents work, agents stopped when they must be.

One thread does it for all runs of the process, with one statement for all of them. It watches
three clocks: each run's deadline, each lease's end, and the next look into the database.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from shared import clock, db, failpoints, leases, processes, tally
from shared.attempts import Claimed, Lease
from shared.clock_watch import ClockWatch
from shared.conversations import Memory
from shared.log import Trouble
from shared.processes import Alive
from shared.reference import ReferenceClock
from shared.tally import Count
from worker.agents.stop import Stop, StopReason
from worker.reporter import Reporter

logger = logging.getLogger(__name__)

# How soon a cancelled run's agent hears of it.
_LOOK_EVERY_SECONDS = 1.0
# How long before others may take a run its agent is stopped, if its lease could not be renewed:
# such a part of the lease, and so many seconds at least.
_STOP_BEFORE, _STOP_BEFORE_SECONDS = 0.1, 0.5
# How long the end of the process waits for a heartbeat that the database keeps waiting.
_LAST_BEAT_SECONDS = 1.0


@dataclass(eq=False)
class Work:
    """One attempt that this process works on. Instants are of the monotonic clock."""

    run: Claimed
    lease: Lease
    deadline: float
    # When it was claimed, and until when it may go on if the lease is not renewed.
    since: float
    ours_until: float
    reporter: Reporter
    #: Called when nobody waits any longer for an agent that ignores its `stop`.
    leave: Callable[["Work"], None]
    #: Of earlier attempts and runs, where its kind asks for that.
    memory: Memory = field(default_factory=Memory)
    stop: Stop = field(default_factory=Stop)
    # No agent is at work on it: what came of it is being recorded.
    agent_ended: bool = False
    # The lease is not ours any more, or will not be for long.
    lost: bool = False
    # When its agent, if it ignores `stop`, is waited for no longer.
    given_up: float = float("inf")
    left: bool = False

    @property
    def keeps(self) -> bool:
        """Whether something is kept for another attempt at it."""
        return self.memory.kept is not None or self.reporter.has_kept

    @property
    def ends(self) -> float:
        """When it is to be stopped next."""
        return self.deadline if self.lost else min(self.deadline, self.ours_until)


class Heartbeat:
    """The thread that keeps this process's leases, and the process itself, alive."""

    def __init__(
        self, worker: str, *, lease: timedelta, interval: timedelta, alive: Callable[[], Alive]
    ) -> None:
        self._worker = worker
        self._alive = alive
        self._lease = lease
        before = max(lease.total_seconds() * _STOP_BEFORE, _STOP_BEFORE_SECONDS)
        self._ours_for = lease.total_seconds() - before
        self._interval = interval.total_seconds()
        self._look_every = min(_LOOK_EVERY_SECONDS, self._interval)
        self._try_again_after = min(self._look_every, before / 2)
        self._works: set[Work] = set()
        self._changed = threading.Condition()
        self._running = True
        self._wakes_at = 0.0
        self._ending: StopReason | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._trouble = Trouble(logger, "send a heartbeat")
        self._clock_watch = ClockWatch()
        #: The database's, as of the last heartbeat.
        self.clock = ReferenceClock(clock.now)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, and wait for it."""
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join(_LAST_BEAT_SECONDS)

    def is_alive(self) -> bool:
        """Whether the thread is there to do its work."""
        return self._thread.is_alive()

    def keep(
        self,
        run: Claimed,
        *,
        since: float,
        leave: Callable[[Work], None],
        memory: Memory | None = None,
    ) -> Work:
        """Keep the lease on *run* that began at *since*, and stop its agent in time.

        Should that ignore it, *leave* is called after a while, in a thread of ours.
        """
        lease = Lease(run.id, run.attempt)
        work = Work(
            run,
            lease,
            deadline=clock.monotonic() + run.timeout_seconds,
            since=since,
            ours_until=since + self._ours_for,
            reporter=Reporter(lease),
            leave=leave,
            memory=memory or Memory(),
        )
        with self._changed:
            self._works.add(work)
            ending = self._ending
            if work.ends < self._wakes_at:
                self._changed.notify()
        if ending:
            work.stop.set(ending)
        return work

    def let_go(self, works: Iterable[Work]) -> int:
        """Keep the leases of *works* no longer; how many of them were kept."""
        with self._changed:
            kept = self._works.intersection(works)
            self._works -= kept
        return len(kept)

    def holding(self) -> list[Work]:
        """What is worked on, or being recorded."""
        with self._changed:
            return list(self._works)

    def deaf(self) -> int:
        """How many agents ignore that they were stopped: each keeps its thread."""
        return sum(work.left and not work.agent_ended for work in self.holding())

    def stop_all(self, reason: StopReason) -> None:
        """Have every agent of this process stop, also those that are only about to start."""
        with self._changed:
            self._ending = reason
        for work in self.holding():
            work.stop.set(reason)

    def _run(self) -> None:
        look_at = beat_at = 0.0
        while True:
            self.stop_overdue()
            self._leave_the_deaf()
            now = clock.monotonic()
            try:
                if now >= beat_at:
                    self._beat()
                    beat_at = now + self._interval
                    self._trouble.ends()
                if now >= look_at:
                    self._look()
                    look_at = now + self._look_every
            except Exception as error:
                # Whatever it is: without this thread every run of the process would be lost.
                if isinstance(error, db.UNREACHABLE):
                    tally.add(Count.DATABASE_RETRIES)
                self._trouble.begins(error)
                look_at = clock.monotonic() + self._try_again_after
            with self._changed:
                if not self._running:
                    return
                self._wakes_at = min([look_at, *(work.ends for work in self._works)])
                self._changed.wait(max(0.0, self._wakes_at - clock.monotonic()))

    def _beat(self) -> None:
        """Renew all leases, with one statement, and tell that this process is alive."""
        failpoints.reach("worker.heartbeat")
        moment = clock.monotonic()
        works = [
            work
            for work in self.holding()
            if not work.lost and moment < min(work.ours_until, work.given_up)
        ]
        with db.connection():
            now, moment = clock.now(), clock.monotonic()
            self._clock_watch.look(now, moment)
            self.clock.look()
            told = self.clock.now()
            until = told + self._lease
            processes.worker_seen(self._worker, alive=self._alive(), until=until, now=told)
            run_ids = [work.lease.run_id for work in works]
            renewed = leases.renew(self._worker, run_ids, until=until) if works else set()
        for work in works:
            if work.lease in renewed:
                work.ours_until = moment + self._ours_for
        tally.save(self._worker, now=now)

    def _look(self) -> None:
        """Learn which runs are to be cancelled, and which were lost."""
        works = self.holding()
        if works:
            with db.connection():
                held = leases.held_by(self._worker)
            cancelled = {each.lease: each.cancel_requested for each in held}
            for work in works:
                if work.lease not in cancelled:
                    self._lose(work)
                elif cancelled[work.lease]:
                    self._stop(work, StopReason.CANCELLED)

    def stop_overdue(self) -> None:
        """Stop the agents whose time is up, or whose lease nobody could renew in time.

        Needs no database, so another thread may call it while this one waits for that.
        """
        moment = clock.monotonic()
        for work in self.holding():
            if moment >= work.deadline:
                self._stop(work, StopReason.TIMEOUT)
                work.deadline = float("inf")
            if moment >= work.ours_until and not work.lost:
                # Somebody else may soon be working on it.
                self._lose(work)

    def _leave_the_deaf(self) -> None:
        moment = clock.monotonic()
        for work in self.holding():
            if moment >= work.given_up and not work.left and not work.agent_ended:
                logger.error("run %s: its agent ignores being stopped", work.lease.run_id)
                work.left = True
                work.leave(work)

    def _stop(self, work: Work, reason: StopReason) -> None:
        if not work.stop.is_set():
            work.given_up = clock.monotonic() + self._lease.total_seconds()
        work.stop.set(reason)

    def _lose(self, work: Work) -> None:
        if not work.agent_ended and not work.stop.is_set():
            logger.warning("run %s lost: its lease is no longer ours", work.lease.run_id)
        work.lost = True
        work.stop.set(StopReason.LOST)
