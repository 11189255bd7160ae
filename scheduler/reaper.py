"""Runs whose lease ran out: queued again, or failed."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from shared import leases, tally
from shared.attempts import Leased
from shared.tally import Count

logger = logging.getLogger(__name__)

_AT_ONCE = 500


class Reaper:
    """Takes runs from owners that have not renewed their leases for as long as one holds.

    It goes by how long it has itself seen a lease as it is, on a clock that nobody can set. So it
    compares no two clocks, and hosts may be hours apart (after the leader election of Kubernetes'
    client-go, which goes by the time that it observed a record).
    """

    def __init__(self, lease: timedelta) -> None:
        self._lease_seconds = lease.total_seconds()
        # Of each lease: since when it has been seen as it is, on the monotonic clock.
        self._seen: dict[Leased, float] = {}

    def reap(self, held: Iterable[Leased], *, now: datetime, moment: float) -> int:
        """Take what has lapsed of *held*, all those that there are; how many runs.

        *moment* is of the monotonic clock, and not before they were read.
        """
        self._seen = {each: self._seen.get(each, moment) for each in held}
        lapsed = (
            each for each, since in self._seen.items() if moment - since >= self._lease_seconds
        )
        reaped = 0
        while some := list(islice(lapsed, _AT_ONCE)):
            lost = leases.reap(some, now=now)
            for run_id, status in lost:
                logger.warning("run %s reaped: its lease ran out, now %s", run_id, status)
            tally.add(Count.LOST_LEASES, len(lost))
            reaped += len(lost)
        return reaped
