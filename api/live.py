"""Batches as they go: one thread looks at those that are watched, and tells all who watch.

Whoever watches holds a thread of the server, and no connection to the database.
"""

import json
import logging
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import Response
from werkzeug.exceptions import ServiceUnavailable

from api.long_requests import LongRequests
from shared import clock, db
from shared.batches import view
from shared.log import Trouble

logger = logging.getLogger(__name__)

#: What the last event of a batch is called: who has heard that need not come again.
ENDED = "ended"

_LOOK_EVERY_SECONDS = 1.0
_SIGN_OF_LIFE_SECONDS = 15.0


class Watcher:
    """Somebody who watches a batch, and what is to be told next; None: there is no more to come."""

    def __init__(self, seen: dict[str, Any]) -> None:
        self._seen: dict[str, Any] | None = seen
        self._told: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def tell(self, state: dict[str, Any] | None) -> None:
        """Have *state* told, if it is another one; who is slow hears of the latest only."""
        if state == self._seen:
            return
        self._seen = state
        with suppress(queue.Empty):
            self._told.get_nowait()
        self._told.put(state)

    def hear(self) -> Generator[str, None, dict[str, Any] | None]:
        """What is told next; meanwhile signs of life, by which a lost connection is noticed."""
        while True:
            try:
                return self._told.get(timeout=_SIGN_OF_LIFE_SECONDS)
            except queue.Empty:
                yield ": still here\n\n"


class Watch:
    """Tells whoever asks how batches go. Its thread runs while somebody does."""

    def __init__(self, long_requests: LongRequests) -> None:
        self._long_requests = long_requests
        self._changed = threading.Condition()
        self._watchers: dict[Watcher, UUID] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._trouble = Trouble(logger, "look at the batches that are watched")

    def close(self) -> None:
        """Have all who watch go. Safe to be called by a signal handler: it only sets a flag."""
        self._closing = True

    def events(self, batch_id: UUID, first: dict[str, Any]) -> Response:
        """The response that tells how a batch goes, which by now is *first*, until it has ended.

        Raises `ServiceUnavailable` if too many watch.
        """
        watcher = Watcher(first)
        self._enter(batch_id, watcher)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        response = Response(
            _texts(watcher, first), headers=headers, content_type="text/event-stream"
        )
        # Whatever becomes of it, even if nobody ever reads it.
        response.call_on_close(lambda: self._leave(watcher))
        return response

    def _enter(self, batch_id: UUID, watcher: Watcher) -> None:
        with self._changed:
            if self._closing:
                raise ServiceUnavailable("This process is about to end; try again.", retry_after=1)
            self._long_requests.enter()
            self._watchers[watcher] = batch_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()

    def _leave(self, watcher: Watcher) -> None:
        with self._changed:
            if self._watchers.pop(watcher, None) is not None:
                self._long_requests.leave()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._watchers:
                    self._thread = None
                    return
                watched = set(self._watchers.values())
                self._changed.wait(_LOOK_EVERY_SECONDS)
            states = {} if self._closing else self._look(watched)
            with self._changed:
                for watcher, batch_id in self._watchers.items():
                    if self._closing or batch_id in states:
                        watcher.tell(states.get(batch_id))

    def _look(self, watched: set[UUID]) -> dict[UUID, dict[str, Any]]:
        try:
            with db.connection():
                states = view.several(watched, now=clock.now())
        except Exception as error:
            # Whatever it is: without this thread nobody would be told anything any more.
            self._trouble.begins(error)
            return {}
        self._trouble.ends()
        return states


def _texts(watcher: Watcher, first: dict[str, Any]) -> Iterator[str]:
    number, state = 1, first
    while not state["finishedAt"]:
        yield _event("progress", str(number), state)
        number += 1
        heard = yield from watcher.hear()
        if heard is None:
            return
        state = heard
    yield _event(ENDED, ENDED, state)


def _event(name: str, id: str, state: dict[str, Any]) -> str:
    data = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    return f"id: {id}\nevent: {name}\ndata: {data}\n\n"
