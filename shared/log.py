"""One logging setup for the three processes: a line is a sentence with its ids."""

import atexit
import logging
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue

from shared import clock

_AGAIN_AFTER_SECONDS = 60.0
_MOST_LINES_WAITING = 10_000


def setup(level: str) -> None:
    """Log to standard error, in UTC, one line an event.

    A thread of its own writes: each write gives up the interpreter's lock, which the many threads
    of a worker would then wait for more than for anything else.
    """
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = QueueListener(records, handler)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.setLevel(level)
    root.handlers = [_Lines(records)]
    _find_out_no_more_than_is_said()
    # Dramatiq's chatter about its own threads is of interest to its authors.
    logging.getLogger("dramatiq").setLevel("WARNING" if level != "DEBUG" else "DEBUG")


class _Lines(QueueHandler):
    """Lines for a thread to write. Where nobody takes them any more, they do not pile up."""

    def __init__(self, lines: "SimpleQueue[logging.LogRecord]") -> None:
        super().__init__(lines)
        self._lines = lines
        self._lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Leave *record* to the thread; drop it if too many wait, and say so once they do not."""
        if self._lines.qsize() >= _MOST_LINES_WAITING:
            self._lost += 1
            return
        if self._lost:
            record.msg = f"{record.msg} ({self._lost} lines before this one were lost)"
            self._lost = 0
        self._lines.put(record)


def _find_out_no_more_than_is_said() -> None:
    """See https://docs.python.org/3/howto/logging.html#optimization.

    gunicorn's own lines name the process.
    """
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False


class Trouble:
    """A trouble that lasts: said when it begins, once a minute, and when it is over."""

    def __init__(self, logger: logging.Logger, doing: str) -> None:
        self._logger = logger
        self._doing = doing
        self._said_at: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether it has begun and is not over."""
        return self._said_at is not None

    def begins(self, error: Exception) -> None:
        """Say that *doing* failed, unless that was said within the minute."""
        now = clock.monotonic()
        if self._said_at is None or now - self._said_at >= _AGAIN_AFTER_SECONDS:
            self._said_at = now
            # One line: what drivers say of a lost connection fills several.
            says = " ".join(str(error).split()) or type(error).__name__
            self._logger.error("cannot %s, will keep trying: %s", self._doing, says)

    def ends(self) -> None:
        """Say that *doing* works again, if it had failed."""
        if self._said_at is not None:
            self._said_at = None
            self._logger.info("can %s again", self._doing)
