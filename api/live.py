"""What goes on, told to whoever watches: one thread looks at all that is watched, and tells all.

Whoever watches holds a thread of the server, and no connection to the database.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Generic, TypeVar
from uuid import UUID

from flask import Response, request
from werkzeug.exceptions import ServiceUnavailable

from api.long_requests import LongRequests
from shared import db
from shared.log import Trouble

logger = logging.getLogger(__name__)

#: What the last event of a stream is called: who has heard that need not come again.
ENDED = "ended"
MEDIA_TYPE = "text/event-stream"

_LOOK_EVERY_SECONDS = 1.0
_SIGN_OF_LIFE_SECONDS = 15.0

#: How what is watched is doing, as a look sees it.
State = TypeVar("State")


class Watcher(Generic[State]):
    """Somebody who watches, and how by the latest look it is; None: there is no more to come."""

    def __init__(self, first: State) -> None:
        self.latest: State | None = first
        self._looks = 0
        self._told = threading.Condition()

    def tell(self, state: State | None) -> None:
        """Have *state* heard, if it is another one; who is slow hears of the latest only."""
        with self._told:
            self.latest = state
            self._looks += 1
            self._told.notify()

    def hear(self, known: State) -> Generator[str, None, State | None]:
        """The latest, once it is not what is *known*; meanwhile signs of life."""
        yield from self._wait(lambda: self.latest != known)
        return self.latest

    def hear_again(self) -> Generator[str, None, State | None]:
        """The latest, once there was another look; meanwhile signs of life."""
        looks = self._looks
        yield from self._wait(lambda: self._looks != looks)
        return self.latest

    def _wait(self, heard: Callable[[], bool]) -> Iterator[str]:
        """Wait until it is *heard*. It is by a sign of life that a lost connection is noticed."""
        while True:
            with self._told:
                if self._told.wait_for(heard, _SIGN_OF_LIFE_SECONDS):
                    return
            yield ": still here\n\n"


class Watch(Generic[State]):
    """Tells whoever asks how things of one kind go. Its thread runs while somebody does.

    *look* gives the states of those that still are, of some ids.
    """

    def __init__(
        self,
        kind: str,
        look: Callable[[set[UUID]], Mapping[UUID, State]],
        long_requests: LongRequests,
    ) -> None:
        self._look = look
        self._long_requests = long_requests
        self._changed = threading.Condition()
        self._watchers: dict[Watcher[State], UUID] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._trouble = Trouble(logger, f"look at the {kind} that are watched")

    def close(self) -> None:
        """Have all who watch go. Safe to be called by a signal handler: it only sets a flag."""
        self._closing = True

    def response(
        self, id: UUID, first: State, texts: Callable[[Watcher[State]], Iterator[str]]
    ) -> Response:
        """The response that is the *texts* for a watcher of *id*, whose state by now is *first*.

        Raises `ServiceUnavailable` if too many watch.
        """
        watcher = Watcher(first)
        self._enter(id, watcher)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        response = Response(texts(watcher), headers=headers, content_type=MEDIA_TYPE)
        # Whatever becomes of it, even if nobody ever reads it.
        response.call_on_close(lambda: self._leave(watcher))
        return response

    def _enter(self, id: UUID, watcher: Watcher[State]) -> None:
        with self._changed:
            if self._closing:
                raise ServiceUnavailable("This process is about to end; try again.", retry_after=1)
            self._long_requests.enter()
            self._watchers[watcher] = id
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live", daemon=True)
                self._thread.start()

    def _leave(self, watcher: Watcher[State]) -> None:
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
            states = None if self._closing else self._states(watched)
            with self._changed:
                for watcher, id in self._watchers.items():
                    if self._closing:
                        watcher.tell(None)
                    elif states is not None and id in watched:
                        watcher.tell(states.get(id))

    def _states(self, watched: set[UUID]) -> Mapping[UUID, State] | None:
        try:
            with db.connection():
                states = self._look(watched)
        except Exception as error:
            # Whatever it is: without this thread nobody would be told anything any more.
            self._trouble.begins(error)
            return None
        self._trouble.ends()
        return states


def last_heard() -> str | None:
    """The id of the last event that the client has heard, if it says so."""
    return request.headers.get("Last-Event-ID")


def event(name: str, data: str, *, id: str | None = None) -> str:
    """An event as the stream has it. *data* is JSON; nothing of it breaks a line.

    Without an *id*, whoever comes again goes on after the event before.
    """
    identified = "" if id is None else f"id: {id}\n"
    return f"{identified}event: {name}\ndata: {data}\n\n"
