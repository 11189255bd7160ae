"""Somebody who looks at the database all the while, and remembers what must not have changed."""

import threading
from contextlib import suppress
from typing import Self

import ends
import items
import record
from record import AWAY, Snapshot

_LOOKS_EVERY_SECONDS = 0.5


class Witness:
    """Compares each look with the one before. As a context, looks by itself now and then."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        #: A sentence for each promise that was seen broken.
        self.broken: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def look(self) -> Snapshot:
        """All rows as they are now. Raises one of `record.AWAY`."""
        # One at a time, or what was seen before might be compared with what was seen later.
        with self._lock:
            seen = record.take(self._url)
            if self._last is not None:
                self.broken += ends.are_final(self._last, seen)
                self.broken += items.only_go_on(self._last, seen)
            self.broken += items.are_counted(seen)
            self._last = seen
        return seen

    def _watch(self) -> None:
        while not self._stop.wait(_LOOKS_EVERY_SECONDS):
            with suppress(*AWAY):
                self.look()
