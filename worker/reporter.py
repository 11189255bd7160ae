"""The events that an agent reports: gathered, bounded, written now and then."""

import logging
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared import db, events
from shared.attempts import Lease
from worker.agents.output import storable
from worker.agents.protocol import LONGEST_EVENT_TYPE, MOST_EVENTS

logger = logging.getLogger(__name__)


class Reporter:
    """Somewhere for one attempt to report events to, from any thread."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._pending: list[events.Event] = []
        self._reported = 0

    def report(self, type: str, data: Mapping[str, Any]) -> None:
        """Keep an event. Those beyond the first thousand of an attempt are dropped, with a note."""
        with self._lock:
            self._reported += 1
            if self._reported > MOST_EVENTS:
                return
            if self._reported == MOST_EVENTS:
                type, data = "events_dropped", {"message": "Too many events; the rest is dropped."}
            self._pending.append((type[:LONGEST_EVENT_TYPE], storable(data)))

    def write(self, now: datetime) -> None:
        """Write what has been reported since the last time; nothing, if the run is lost.

        What cannot be written at all is dropped: it must cost neither this run its result, nor
        the other runs of the process their leases. Raises one of `shared.db.UNREACHABLE`.
        """
        # One at a time: each numbers its events after those that are there.
        with self._writing:
            with self._lock:
                pending = list(self._pending)
            if not pending:
                return
            try:
                with db.connection():
                    events.append(self._lease.run_id, self._lease.attempt, pending, now=now)
            except db.UNREACHABLE:
                raise
            except Exception:
                # What cannot be kept must not cost the run its result.
                logger.exception("run %s: %d events dropped", self._lease.run_id, len(pending))
            with self._lock:
                del self._pending[: len(pending)]
