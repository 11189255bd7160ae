"""What an agent reports while it works: what happened, what it has used up, where to go on from."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from shared import clock, conversations, db, events
from shared.attempts import Lease, Usage
from shared.events import Event
from worker.agents.output import storable
from worker.agents.protocol import LONGEST_EVENT_TYPE, MOST_EVENTS
from worker.usage import believable, bounded, rounded

logger = logging.getLogger(__name__)


class Reporter:
    """Somewhere for one attempt to report to, from any thread."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._pending: list[Event] = []
        #: Of which model it was that something was used up, if that was told.
        self.model: str | None = None
        self._reported = 0
        self._used = Usage()
        # A state, and what had been used up by then.
        self._kept: tuple[str, Usage] | None = None
        #: Whether something was written for the next attempt.
        self.has_kept = False

    def use(self, usage: Usage, model: str | None = None) -> None:
        """Add to what the attempt has used up, of that *model*."""
        with self._lock:
            self.model = model or self.model
            self._used = bounded(self._used + believable(usage))

    def used(self) -> Usage:
        """What the attempt has used up."""
        with self._lock:
            return rounded(self._used)

    def report(self, type: str, data: Mapping[str, Any]) -> None:
        """Keep an event. Those beyond the first thousand of an attempt are dropped, with a note."""
        with self._lock:
            self._reported += 1
            if self._reported > MOST_EVENTS:
                return
            if self._reported == MOST_EVENTS:
                type, data = "events_dropped", {"message": "Too many events; the rest is dropped."}
            self._pending.append(Event(clock.now(), type[:LONGEST_EVENT_TYPE], storable(data)))

    def keep(self, state: str) -> bool:
        """Keep *state* for the next attempt instead of what was kept. False: it is too large."""
        if len(state) > conversations.MOST_KEPT:
            return False
        with self._lock:
            self._kept = state, rounded(self._used)
        return True

    def write(self) -> None:
        """Write what has been reported since the last time; nothing, if the run is lost.

        What cannot be written at all is dropped: it must cost neither this run its result, nor
        the other runs of the process their leases. Raises one of `shared.db.UNREACHABLE`.
        """
        # One at a time: each numbers its events after those that are there.
        with self._writing:
            with self._lock:
                pending, kept = list(self._pending), self._kept
            if pending:
                self._try(lambda: self._append(pending), f"{len(pending)} events")
            if kept is not None:
                self.has_kept = True
                self._try(lambda: conversations.keep(self._lease, *kept), "its state")
            with self._lock:
                del self._pending[: len(pending)]
                if self._kept is kept:
                    self._kept = None

    def _append(self, pending: list[Event]) -> None:
        events.append(self._lease.run_id, self._lease.attempt, pending)

    def _try(self, write: Callable[[], None], what: str) -> None:
        try:
            with db.connection():
                write()
        except db.UNREACHABLE:
            raise
        except Exception:
            # What cannot be kept must not cost the run its result.
            logger.exception("run %s: %s dropped", self._lease.run_id, what)
