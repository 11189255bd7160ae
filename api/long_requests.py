"""Requests that take as long as their clients like: watching, downloading, uploading.

So many are served at a time; the other threads of the process are left to all else. None holds a
connection to the database while it waits for its client.
"""

import threading

from werkzeug.exceptions import ServiceUnavailable

#: So many one process serves at a time; it has a thread for each.
MOST = 32

_RETRY_AFTER_SECONDS = 5


class LongRequests:
    """The places that there are for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def enter(self) -> None:
        """Take a place, until `leave`. Raises `ServiceUnavailable` if there is none."""
        with self._lock:
            if self._taken >= MOST:
                raise ServiceUnavailable(
                    "Too many are watching, downloading or uploading here; try again.",
                    retry_after=_RETRY_AFTER_SECONDS,
                )
            self._taken += 1

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._taken -= 1
