"""Looks at what an agent needs, before a run: each bounded, and each a finding."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from shared.findings import FAIL, OK, Finding
from worker.agents.protocol import AgentError, Context, Stopped
from worker.agents.stop import Stop, StopReason

#: How long one look may take, unless it says otherwise.
SECONDS = 10.0


def look(
    name: str, see: Callable[[Context], str], context: Context, *, seconds: float = SECONDS
) -> Finding:
    """What *see* says is well, or the `AgentError` that it raises. Raises `Stopped`.

    The context that it is given has a stop that is also set once *seconds* have passed.
    """
    with _bounded(context.stop, seconds) as stop:
        try:
            return Finding(name, OK, see(replace(context, stop=stop)))
        except AgentError as error:
            return Finding(name, FAIL, str(error))
        except Stopped:
            if context.stop.is_set():
                raise
            return too_long(name, seconds)


def too_long(name: str, seconds: float = SECONDS) -> Finding:
    """The finding of a look that has taken too long."""
    return Finding(name, FAIL, f"There was no answer within {seconds:g} seconds.")


@contextmanager
def _bounded(stop: Stop, seconds: float) -> Iterator[Stop]:
    bounded = Stop()
    timer = threading.Timer(seconds, bounded.set, (StopReason.TIMEOUT,))
    timer.daemon = True
    with stop.calling(lambda: bounded.set(stop.reason or StopReason.CANCELLED)):
        timer.start()
        try:
            yield bounded
        finally:
            timer.cancel()
