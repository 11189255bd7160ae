"""Runs whose lease ran out: queued again, or failed."""

import logging
from datetime import datetime

from shared import runs, tally
from shared.tally import Count

logger = logging.getLogger(__name__)

_AT_ONCE = 500


def reap(now: datetime) -> int:
    """Take runs from the owners that lost them; how many."""
    reaped = 0
    while True:
        lost = runs.reap(now=now, limit=_AT_ONCE)
        for run_id, status in lost:
            logger.warning("run %s reaped: its lease ran out, now %s", run_id, status)
        tally.add(Count.LOST_LEASES, len(lost))
        reaped += len(lost)
        if len(lost) < _AT_ONCE:
            return reaped
