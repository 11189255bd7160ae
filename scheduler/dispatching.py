"""The dispatch of each queue, as often as it wants: that of schedules, and those of batches."""

from collections.abc import Callable
from datetime import datetime, timedelta

import redis

from shared import clock
from shared.batches import moves
from shared.batches.lines import BatchLines
from shared.dispatch import Dispatcher, Lines
from shared.messages import RUNS_QUEUE, publisher
from shared.run_lines import RunLines
from shared.settings import Settings

# Does a duty, which may fail, by the name that it is known by.
Attend = Callable[[str, Callable[[], object]], bool]


class Dispatching:
    """A dispatcher for each queue, and when it is to look again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: redis.Redis = publisher(settings.redis_url)
        #: That of schedules and requests.
        self.runs = self._dispatcher(RunLines())
        self._dispatchers = {RUNS_QUEUE: self.runs}
        self._due = {RUNS_QUEUE: 0.0}
        self._queues_due = 0.0

    def due(self) -> float:
        """When the next one is to look, on the monotonic clock."""
        return min(self._queues_due, *self._due.values())

    def hurry(self) -> None:
        """Have the runs of schedules not wait for their turn."""
        self._due[RUNS_QUEUE] = 0.0

    def dispatch(self, now: Callable[[], datetime], attend: Attend) -> None:
        """Have those look whose time has come, each as a duty of its own."""
        if clock.monotonic() >= self._queues_due:
            self._queues_due = clock.monotonic() + self._interval.total_seconds()
            attend("find the queues of batches", self._find_queues)
        for queue, dispatcher in list(self._dispatchers.items()):
            if clock.monotonic() >= self._due[queue]:
                doing = "dispatch" if queue == RUNS_QUEUE else f"dispatch to queue {queue}"
                self._due[queue] = clock.monotonic() + self._interval.total_seconds()
                if attend(doing, lambda each=dispatcher: each.dispatch(now())):  # type: ignore[misc] # mypy wants no default
                    soon = dispatcher.next_look(self._interval)
                    self._due[queue] = clock.monotonic() + soon.total_seconds()

    @property
    def _interval(self) -> timedelta:
        return self._settings.dispatch_interval

    def _find_queues(self) -> None:
        live = set(moves.queues())
        for queue in live - self._dispatchers.keys():
            self._dispatchers[queue] = self._dispatcher(BatchLines(queue))
            self._due[queue] = 0.0
        for queue in self._dispatchers.keys() - live - {RUNS_QUEUE}:
            del self._dispatchers[queue], self._due[queue]

    def _dispatcher(self, lines: Lines) -> Dispatcher:
        return Dispatcher(
            self._client,
            window=self._settings.dispatch_window,
            resend_after=self._settings.resend_after,
            lines=lines,
        )
