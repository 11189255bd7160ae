"""The scheduler's three duties, in turn: tick, dispatch, reap."""

import logging
from collections.abc import Callable
from datetime import datetime

from scheduler.reaper import reap
from scheduler.tick import tick
from shared import clock, db, due, messages, processes
from shared.dispatch import Dispatcher
from shared.log import Trouble
from shared.process import StopFlag
from shared.settings import Settings

logger = logging.getLogger(__name__)

_AT_LEAST_SECONDS = 0.02


class Scheduler:
    """A scheduler process: any number of them may run at once, and none leads."""

    def __init__(self, settings: Settings) -> None:
        self.id = processes.new_id()
        self._settings = settings
        self._dispatcher = Dispatcher(
            messages.publisher(settings.redis_url),
            window=settings.dispatch_window,
            resend_after=settings.resend_after,
        )
        self._troubles: dict[str, Trouble] = {}
        self._registered = False
        self._minute: datetime | None = None
        self._dispatch_due = self._reap_due = 0.0

    def run(self, stop: StopFlag) -> None:
        """Work until *stop* is raised."""
        logger.info("scheduler %s started", self.id)
        while not stop.wait(self.work(clock.now())):
            pass
        self._attend("note its end", lambda: processes.scheduler_stopped(self.id, now=clock.now()))
        logger.info("scheduler %s stopped", self.id)

    def work(self, now: datetime) -> float:
        """Do what is to be done at *now*; in how many seconds there is more.

        A duty that fails is tried again next time, and keeps no other from being done.
        """
        if not self._registered:
            self._attend("enter itself into the database", lambda: self._register(now))
        self._attend("tick", lambda: self._tick(now))
        moment = clock.monotonic()
        if moment >= self._dispatch_due:
            self._attend("dispatch", self._dispatch)
        if moment >= self._reap_due:
            self._reap_due = moment + self._settings.reap_interval.total_seconds()
            self._attend("reap", lambda: reap(clock.now()))
        return self._idle_seconds()

    def _attend(self, doing: str, duty: Callable[[], object]) -> None:
        trouble = self._troubles.setdefault(doing, Trouble(logger, doing))
        try:
            duty()
        except Exception as error:
            # Whatever it is: it must not keep the other duties from being done.
            logger.debug("cannot %s", doing, exc_info=error)
            trouble.begins(error)
        else:
            trouble.ends()

    def _register(self, now: datetime) -> None:
        processes.scheduler_started(self.id, now=now)
        self._registered = True

    def _tick(self, now: datetime) -> None:
        started = clock.monotonic()
        settled = tick(now, self._dispatcher, batch=self._settings.tick_batch)
        minute = now.replace(second=0, microsecond=0)
        if settled or minute != self._minute:
            took_ms = round((clock.monotonic() - started) * 1000)
            processes.scheduler_ticked(self.id, took_ms=took_ms, now=now)
            self._minute = minute

    def _dispatch(self) -> None:
        interval = self._settings.dispatch_interval.total_seconds()
        self._dispatch_due = clock.monotonic() + interval
        if self._dispatcher.dispatch(clock.now()):
            # Where there was something, there may soon be more.
            self._dispatch_due = clock.monotonic() + interval / 10

    def _idle_seconds(self) -> float:
        """How long to sleep: until the next duty, the next minute, or the next fire time."""
        moment = clock.monotonic()
        idle = min(self._dispatch_due, self._reap_due) - moment
        now = clock.now()
        until = [clock.next_minute(now)]
        try:
            due_at = due.next_due_at()
        except db.UNREACHABLE:
            due_at = None  # Said by the tick, which comes again with the next duty.
        if due_at is not None:
            until.append(due_at)
        # What is due already and was not settled could not be: not at once again.
        waits = [max((at - now).total_seconds(), _AT_LEAST_SECONDS) for at in until]
        return max(0.0, min(idle, *waits))
