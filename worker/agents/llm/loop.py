"""The one event loop of a process, in a thread of its own, on which all models are asked.

The SDKs' clients belong to the loop on which they were first used, so all runs share one.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop

T = TypeVar("T")

# For what blocks, which is the look-up of names.
_THREADS = 32


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "llm"))
    threading.Thread(target=loop.run_forever, name="llm", daemon=True).start()
    return loop


_starting = threading.Lock()


def run(work: Coroutine[Any, Any, T], stop: Stop) -> T:
    """What *work* returns, or raises. It is cancelled when *stop* is set: `Stopped`."""
    with _starting:
        loop = _loop()
    ended: Future[T] = Future()
    begun: list[asyncio.Task[T]] = []

    def begin() -> None:
        begun.append(loop.create_task(work))
        begun[0].add_done_callback(settle)

    def settle(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            ended.set_exception(Stopped() if stop.is_set() else AgentError("It gave up by itself."))
        elif error := task.exception():
            ended.set_exception(error)
        else:
            ended.set_result(task.result())

    def cancel() -> None:
        # It was told to begin before.
        loop.call_soon_threadsafe(lambda: begun[0].cancel())

    loop.call_soon_threadsafe(begin)
    with stop.calling(cancel):
        return ended.result()
