"""Starts a worker that loses a thread as soon as an agent has begun: `… consumer`.

Such things happen: what a library raises in a thread of its own ends that thread and nothing else.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A script has its own folder first on its path; `python -m worker` has the root.
sys.path[0] = str(Path(__file__).parent.parent.parent)

from dramatiq.worker import WorkerThread  # noqa: E402 - found only now

from shared.process import run  # noqa: E402
from worker.__main__ import main  # noqa: E402
from worker.agents.echo import EchoAgent  # noqa: E402
from worker.broker import WaitingConsumer  # noqa: E402
from worker.heartbeat import Heartbeat  # noqa: E402
from worker.recorder import Recorder  # noqa: E402
from worker.reports import Reports  # noqa: E402

begun = threading.Event()


def ending(method: Callable[..., Any]) -> Callable[..., Any]:
    """*method*, which ends its thread once an agent has begun."""

    def end(*arguments: Any) -> Any:
        result = method(*arguments)
        if begun.is_set():
            sys.exit()
        return result

    return end


def one_ending(run: Callable[..., None]) -> Callable[..., None]:
    """What threads *run*, of whom the first works on nothing, and ends once an agent has begun."""
    first = threading.Lock()

    def end(thread: WorkerThread) -> None:
        if first.acquire(blocking=False):
            begun.wait()
        else:
            run(thread)

    return end


LOSES = {
    "consumer": (WaitingConsumer, "__next__", ending),
    "worker": (WorkerThread, "run", one_ending),
    "heartbeat": (Heartbeat, "_look", ending),
    "reports": (Reports, "_write", ending),
    "recorder": (Recorder, "_gather", ending),
}


def begin(agent: EchoAgent, *arguments: Any) -> Any:
    """Be the agent that it was."""
    begun.set()
    return echo(agent, *arguments)


if __name__ == "__main__":
    of, name, instead = LOSES[sys.argv[1]]
    setattr(of, name, instead(getattr(of, name)))
    echo, EchoAgent.run = EchoAgent.run, begin  # type: ignore[method-assign]
    del sys.argv[1:]
    run("worker", main)
