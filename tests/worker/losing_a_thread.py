"""Starts a worker that loses a thread as soon as it has claimed a run: `… consumer`.

Such things happen: what a library raises in a thread of its own ends that thread and nothing else.
"""

import ctypes
import sys
import threading
from pathlib import Path

# A script has its own folder first on its path; `python -m worker` has the root.
sys.path[0] = str(Path(__file__).parent.parent.parent)

from dramatiq.worker import ConsumerThread, WorkerThread  # noqa: E402 - found only now

from shared import failpoints  # noqa: E402
from shared.process import run  # noqa: E402
from worker.__main__ import main  # noqa: E402

LOSES = {
    "consumer": lambda thread: isinstance(thread, ConsumerThread),
    # Not the one that has claimed the run.
    "worker": lambda thread: (
        isinstance(thread, WorkerThread) and thread is not threading.current_thread()
    ),
    "heartbeat": lambda thread: thread.name == "heartbeat",
}


def lose(kind: str) -> None:
    """End one thread of that kind."""
    thread = next(filter(LOSES[kind], threading.enumerate()))
    end = ctypes.py_object(SystemExit)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), end)


if __name__ == "__main__":
    failpoints.arm(lambda point: lose(sys.argv[1]) if point == "worker.after_claim" else None)
    run(main)
