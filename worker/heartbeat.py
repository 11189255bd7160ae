"""What this process holds: leases renewed while agents work, agents stopped when they must be.

One thread does it for all runs of the process, with one statement for all of them. It watches
three clocks: each run's deadline, each lease's end, and the next look into the database.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from shared import clock, db, processes, runs
from shared.log import Trouble
from shared.runs import Lease
from worker.agents.stop import Stop, StopReason
from worker.reporter import Reporter

logger = logging.getLogger(__name__)

# How soon a cancelled run's agent hears of it.
_LOOK_EVERY_SECONDS = 1.0


@dataclass(eq=False)
class Work:
    """One attempt that this process works on. Instants are of the monotonic clock."""

    lease: Lease
    deadline: float
    lease_ends: float
    reporter: Reporter
    stop: Stop = field(default_factory=Stop)
    # Its agent has ended; what came of it is being recorded.
    agent_ended: bool = False


class Heartbeat:
    """The thread that keeps this process's leases, and the process itself, alive."""

    def __init__(self, worker: str, *, lease: timedelta, interval: timedelta) -> None:
        self._worker = worker
        self._lease = lease
        self._interval = interval.total_seconds()
        self._look_every = min(_LOOK_EVERY_SECONDS, self._interval)
        self._works: set[Work] = set()
        self._changed = threading.Condition()
        self._running = True
        self._wakes_at = 0.0
        self._ending: StopReason | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._trouble = Trouble(logger, "send a heartbeat")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread, and wait for it."""
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether the thread is there to do its work."""
        return self._thread.is_alive()

    @contextmanager
    def keeping(self, lease: Lease, timeout: timedelta, reporter: Reporter) -> Iterator[Work]:
        """Within the block keep *lease* alive, its agent stopped when it must be."""
        now = clock.monotonic()
        work = Work(
            lease,
            deadline=now + timeout.total_seconds(),
            lease_ends=now + self._lease.total_seconds(),
            reporter=reporter,
        )
        with self._changed:
            self._works.add(work)
            ending = self._ending
            if work.deadline < self._wakes_at:
                self._changed.notify()
        if ending:
            work.stop.set(ending)
        try:
            yield work
        finally:
            with self._changed:
                self._works.discard(work)

    def stop_all(self, reason: StopReason) -> None:
        """Have every agent of this process stop, also those that are only about to start."""
        with self._changed:
            self._ending = reason
        for work in self._holding():
            work.stop.set(reason)

    def _run(self) -> None:
        look_at = beat_at = 0.0
        while True:
            self._stop_overdue(clock.monotonic())
            now = clock.monotonic()
            try:
                if now >= beat_at:
                    self._beat()
                    beat_at = look_at = now
                    beat_at += self._interval
                    look_at += self._look_every
                elif now >= look_at:
                    self._look()
                    look_at = now + self._look_every
                self._trouble.ends()
            except db.UNREACHABLE as error:
                self._trouble.begins(error)
                look_at = now + self._look_every
            with self._changed:
                if not self._running:
                    return
                ends = (min(work.deadline, work.lease_ends) for work in self._works)
                self._wakes_at = min([look_at, *ends])
                self._changed.wait(max(0.0, self._wakes_at - clock.monotonic()))

    def _beat(self) -> None:
        """Renew all leases, with one statement, and tell that this process is alive."""
        works = self._holding()
        now, moment = clock.now(), clock.monotonic()
        with db.connection():
            processes.worker_seen(self._worker, now=now)
            held = runs.renew(self._worker, until=now + self._lease) if works else []
        for work in works:
            if any(each.lease == work.lease for each in held):
                work.lease_ends = moment + self._lease.total_seconds()
        self._heed(works, held)

    def _look(self) -> None:
        """Learn which runs are to be cancelled, and which were lost."""
        works = self._holding()
        if works:
            with db.connection():
                held = runs.held_by(self._worker)
            self._heed(works, held)
            for work in works:
                work.reporter.write(clock.now())

    def _heed(self, works: list[Work], held: list[runs.Held]) -> None:
        cancelled = {each.lease: each.cancel_requested for each in held}
        for work in works:
            if work.lease not in cancelled:
                self._lose(work)
            elif cancelled[work.lease]:
                work.stop.set(StopReason.CANCELLED)

    def _stop_overdue(self, moment: float) -> None:
        for work in self._holding():
            if moment >= work.deadline:
                work.stop.set(StopReason.TIMEOUT)
                work.deadline = float("inf")
            if moment >= work.lease_ends:
                # Nobody could renew it: somebody else may be working on it by now.
                self._lose(work)
                work.lease_ends = float("inf")

    def _lose(self, work: Work) -> None:
        if not work.agent_ended and not work.stop.is_set():
            logger.warning("run %s lost: its lease is no longer ours", work.lease.run_id)
        work.stop.set(StopReason.LOST)

    def _holding(self) -> list[Work]:
        with self._changed:
            return list(self._works)
