"""One look at the clock: what is due at `now` is recorded, and sent on its way."""

import logging
from datetime import datetime

import redis

from shared import clock, db, due, failpoints
from shared.dispatch import Dispatcher

logger = logging.getLogger(__name__)


def tick(now: datetime, dispatcher: Dispatcher, *, batch: int) -> int:
    """Record every fire time up to *now* that no tick has seen; how many schedules were due.

    A transaction for each *batch* of schedules; what it queued is sent right behind it, so that the
    first runs start while the last are still being recorded.
    """
    started = clock.monotonic()
    memo: due.Memo = {}
    settled = 0
    while True:
        taken = _settle(now, dispatcher, batch, memo)
        settled += taken
        if taken < batch:
            break
    if settled:
        logger.info("tick: %d due, %.0f ms", settled, (clock.monotonic() - started) * 1000)
    return settled


def _settle(now: datetime, dispatcher: Dispatcher, batch: int, memo: due.Memo) -> int:
    taken = 0
    try:
        with dispatcher.outgoing(now) as outgoing:
            with db.transaction():
                failpoints.reach("scheduler.before_insert")
                taken = due.settle(now, limit=batch, memo=memo, outgoing=outgoing)
                failpoints.reach("scheduler.before_commit")
            failpoints.reach("scheduler.after_commit")
        failpoints.reach("scheduler.after_send")
    except redis.RedisError as error:
        # They are recorded; the next dispatch sends them.
        logger.warning("runs left to be dispatched: %s", error)
    return taken
