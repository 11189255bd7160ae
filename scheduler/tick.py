"""One look at the clock: what is due at `now` is recorded, and sent on its way."""

import logging
from collections.abc import Callable
from datetime import datetime

from shared import clock, db, due

logger = logging.getLogger(__name__)


def tick(now: datetime, *, batch: int, after_batch: Callable[[], None]) -> int:
    """Record every fire time up to *now* that no tick has seen; how many schedules were due.

    A transaction for each *batch* of schedules, and *after_batch* is called behind each, so that
    the first runs start while the last are still being recorded.
    """
    started = clock.monotonic()
    memo: due.Memo = {}
    settled = 0
    while True:
        with db.transaction():
            taken = due.settle(now, limit=batch, memo=memo)
        settled += taken
        if taken:
            after_batch()
        if taken < batch:
            break
    if settled:
        logger.info("tick: %d due, %.0f ms", settled, (clock.monotonic() - started) * 1000)
    return settled
