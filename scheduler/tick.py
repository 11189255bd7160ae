"""One look at the clock: what is due at `now` is recorded, and sent on its way."""

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

import redis

from shared import clock, db, due, failpoints
from shared.dispatch import Dispatcher

logger = logging.getLogger(__name__)


class Ticked(NamedTuple):
    """What a tick did: how many schedules were due, and how late it was.

    *lag* is the time from the earliest fire time that it recorded until it had recorded all.
    """

    settled: int
    lag: timedelta


def tick(now: datetime, dispatcher: Dispatcher, *, batch: int) -> Ticked:
    """Record every fire time up to *now* that no tick has seen.

    A transaction for each *batch* of schedules; what it queued is sent right behind it, so that the
    first runs start while the last are still being recorded.
    """
    started = clock.monotonic()
    memo: due.Memo = {}
    settled, earliest = 0, now
    while True:
        taken = _settle(now, dispatcher, batch, memo)
        if not settled:
            # The first batch has been due longest.
            earliest = min([now, *(db.instant(rule.next_run_at) for rule in memo)])
        settled += taken
        if taken < batch:
            break
    took = timedelta(seconds=clock.monotonic() - started)
    if settled:
        logger.info("tick: %d due, %.0f ms", settled, took / timedelta(milliseconds=1))
    return Ticked(settled, now - earliest + took if memo else timedelta())


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
