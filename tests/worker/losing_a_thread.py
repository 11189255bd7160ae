"""Starts a worker that loses a thread as soon as an agent has begun: `… consumer`.

Such things happen: what a library raises in a thread of its own ends that thread and nothing else.
"""

import ctypes
import sys
import threading
from pathlib import Path

# A script has its own folder first on its path; `python -m worker` has the root.
sys.path[0] = str(Path(__file__).parent.parent.parent)
sys.path.append(str(Path(__file__).parent.parent))

from dramatiq.worker import ConsumerThread, WorkerThread  # noqa: E402 - found only now
from waiting import wait_until  # noqa: E402

from shared.process import run  # noqa: E402
from worker.__main__ import main  # noqa: E402
from worker.agents.echo import EchoAgent  # noqa: E402
from worker.agents.protocol import Context, Result  # noqa: E402

LOSES = {
    "consumer": lambda thread: isinstance(thread, ConsumerThread),
    # Not the one whose agent has begun.
    "worker": lambda thread: (
        isinstance(thread, WorkerThread) and thread is not threading.current_thread()
    ),
    "heartbeat": lambda thread: thread.name == "heartbeat",
    "recorder": lambda thread: thread.name == "recorder",
}


def lose(kind: str) -> None:
    """End one thread of that kind."""
    # The first run may come before the last thread does.
    thread = wait_until(lambda: next(filter(LOSES[kind], threading.enumerate()), None))
    end = ctypes.py_object(SystemExit)

    def has_ended() -> bool:
        # Asked first: what has ended may have left its ident to another.
        if not thread.is_alive():
            return True
        # Again and again: a library may swallow what comes at a bad moment.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), end)
        return False

    threading.Thread(target=wait_until, args=(has_ended,), daemon=True).start()


def lose_and_go_on(agent: EchoAgent, message: str, context: Context) -> Result:
    """Be the agent that it was."""
    lose(sys.argv[1])
    return echo(agent, message, context)


if __name__ == "__main__":
    echo, EchoAgent.run = EchoAgent.run, lose_and_go_on
    run(main)
