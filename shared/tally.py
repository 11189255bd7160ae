"""What each process counts of what went wrong and was set right; kept in the database.

Counting is adding to a number in memory; `save` writes the numbers of this process down, which
every process does now and then. The sum over all processes never falls, for the counts of a process
that has not been heard of for long are added to those of `GONE`.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum

from shared import db
from shared.models import Tally

GONE = "gone"
_REMEMBERED = timedelta(days=1)


class Count(StrEnum):
    """What is counted; the values are names of metrics."""

    LOST_LEASES = "lost_leases"
    DUPLICATE_DELIVERIES = "duplicate_deliveries"
    RESENDS = "resends"
    FAILED_SENDS = "failed_sends"
    LATE_WRITES_REFUSED = "late_writes_refused"
    CLOCK_STEPS = "clock_steps"
    DATABASE_RETRIES = "database_retries"


_lock = threading.Lock()
_counts: Counter[Count] = Counter()
_saved: Counter[Count] = Counter()


def add(what: Count, number: int = 1) -> None:
    """Count *what* as having happened *number* more times in this process."""
    with _lock:
        _counts[what] += number


def save(process_id: str, *, now: datetime) -> None:
    """Write down what this process has counted, if that has changed since the last time."""
    global _saved
    with _lock:
        counts = _counts.copy()
    if counts == _saved:
        return
    with db.transaction():
        _fold_gone(now)
        (
            Tally.insert(process_id=process_id, counts=dict(counts), updated_at=now)
            .on_conflict(
                conflict_target=[Tally.process_id],
                preserve=[Tally.counts, Tally.updated_at],
            )
            .execute()
        )
    _saved = counts


def total() -> dict[Count, int]:
    """What all processes have counted, ever."""
    sums: Counter[str] = Counter()
    for each in Tally.select(Tally.counts):
        sums.update(each.counts)
    return {each: sums[each] for each in Count}


def _fold_gone(now: datetime) -> None:
    """Add the counts of processes that have long been silent to those of all that are gone."""
    silent = (Tally.process_id != GONE) & (Tally.updated_at < now - _REMEMBERED)
    deleted = Tally.delete().where(silent).returning(Tally.counts).execute()
    sums: Counter[str] = Counter()
    for each in deleted:
        sums.update(each.counts)
    if not sums:
        return
    # Locked, where rows are, by the insert that makes it or finds it there.
    Tally.insert(process_id=GONE, counts={}, updated_at=now).on_conflict(
        conflict_target=[Tally.process_id], update={Tally.updated_at: now}
    ).execute()
    gone = Tally.get_by_id(GONE)
    sums.update(gone.counts)
    Tally.update(counts=dict(sums)).where(Tally.process_id == GONE).execute()
