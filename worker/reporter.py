"""The events that an agent reports: gathered, bounded, written now and then."""

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared import db, events
from shared.runs import Lease

_MOST_EVENTS = 1000
_WRITE_AT = 50


class Reporter:
    """Somewhere for one attempt to report events to, from any thread."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._pending: list[events.Event] = []
        self._reported = 0

    def report(self, type: str, data: Mapping[str, Any]) -> None:
        """Keep an event. Those beyond the first thousand of an attempt are dropped, with a note."""
        with self._lock:
            self._reported += 1
            if self._reported > _MOST_EVENTS:
                return
            if self._reported == _MOST_EVENTS:
                type, data = "events_dropped", {"message": "Too many events; the rest is dropped."}
            self._pending.append((type, data))

    def write(self, now: datetime) -> None:
        """Write what has been reported since the last time; nothing, if the run is lost."""
        with self._lock:
            pending, self._pending = self._pending, []
        if pending:
            with db.connection():
                events.append(self._lease.run_id, self._lease.attempt, pending, now=now)
