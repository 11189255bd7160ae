"""A run of an agent without a worker around it: for tests, ours and those of plug-ins."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from shared import clock
from worker.agents.protocol import Agent, Context, Pause, Result
from worker.agents.stop import Stop, StopReason


def make_context(**changes: Any) -> Context:
    """A context as a worker gives it, but for *changes*; it lets this machine be reached."""
    given: dict[str, Any] = {
        "run_id": uuid4(),
        "agent_id": "tried",
        "session_id": uuid4(),
        "attempt": 1,
        "deadline": clock.now() + timedelta(minutes=10),
        "stop": Stop(),
        "report": lambda type, data: None,
        "use": lambda usage, model=None: None,
        "keep": lambda state: True,
        "environment": {"PATH": os.defpath},
        "allow_private_addresses": True,
    }
    return Context(**(given | changes))


class WatchedStop(Stop):
    """A stop that tells when an agent has looked at it for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at = threading.Event()

    def is_set(self) -> bool:
        """Whether the agent must stop."""
        seen = super().is_set()
        self.looked_at.set()
        return seen

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the agent must stop, *seconds* at most. True: it must."""
        self.looked_at.set()
        return super().wait(seconds)

    @contextmanager
    def calling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within the block, call *listener* when the flag is set."""
        with super().calling(listener):
            self.looked_at.set()
            yield


class Trial:
    """One run in a thread of its own, which nobody has to wait for longer than they like."""

    def __init__(
        self, agent: Agent, message: str, *, stopped: bool = False, **changes: Any
    ) -> None:
        self.stop = WatchedStop()
        if stopped:
            self.stop.set(StopReason.CANCELLED)
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        #: Set when the agent has reported its first event.
        self.reported = threading.Event()
        self._end: Future[Result | Pause] = Future()
        context = make_context(stop=self.stop, report=self._report, **changes)
        threading.Thread(target=self._run, args=(agent, message, context), daemon=True).start()

    def outcome(self, seconds: float) -> Result | Pause | BaseException | None:
        """What the run returned or raised. None: it has done neither within *seconds*."""
        if not wait([self._end], seconds).done:
            return None
        return self._end.exception() or self._end.result()

    def _run(self, agent: Agent, message: str, context: Context) -> None:
        try:
            self._end.set_result(agent.run(message, context))
        except BaseException as error:  # Whatever it raises, `SystemExit` too, is its outcome.
            self._end.set_exception(error)

    def _report(self, type: str, data: Mapping[str, Any]) -> None:
        self.events.append((type, data))
        self.reported.set()
