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
from shared.db import stamp
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


class _Book:
    """What one process has counted, and how much of it is written down."""

    def __init__(self) -> None:
        self._counting, self._saving = threading.Lock(), threading.Lock()
        self._counts: Counter[Count] = Counter()
        self._latest: dict[Count, str] = {}
        self._saved: Counter[Count] = Counter()
        # Those that another process has added to the counts of `GONE`.
        self._folded: Counter[Count] = Counter()

    def add(self, what: Count, number: int) -> None:
        with self._counting:
            self._counts[what] += number

    def save(self, process_id: str, now: datetime) -> None:
        with self._saving:
            with self._counting:
                counts = self._counts.copy()
            if counts == self._saved:
                return
            for each in counts - self._saved:
                self._latest[each] = stamp(now)
            with db.transaction():
                _fold_gone(now, but=process_id)
                if not self._update(process_id, counts, now):
                    # It was never written down, or it was taken for gone.
                    self._folded = self._saved
                    self._insert(process_id, counts, now)
            self._saved = counts

    # Both write sums, not what was added: an unanswered commit may be repeated.

    def _update(self, process_id: str, counts: Counter[Count], now: datetime) -> bool:
        updated: int = (
            Tally.update(counts=dict(counts - self._folded), latest=self._latest, updated_at=now)
            .where(Tally.process_id == process_id)
            .execute()
        )
        return updated == 1

    def _insert(self, process_id: str, counts: Counter[Count], now: datetime) -> None:
        Tally.create(
            process_id=process_id,
            counts=dict(counts - self._folded),
            latest=self._latest,
            updated_at=now,
        )


_book = _Book()


def add(what: Count, number: int = 1) -> None:
    """Count *what* as having happened *number* more times in this process."""
    _book.add(what, number)


def save(process_id: str, *, now: datetime) -> None:
    """Write down what this process has counted, if that has changed since the last time."""
    _book.save(process_id, now)


def total() -> dict[Count, int]:
    """What all processes have counted, ever."""
    sums: Counter[str] = Counter()
    for each in Tally.select(Tally.counts):
        sums.update(each.counts)
    return {each: sums[each] for each in Count}


def latest() -> dict[Count, datetime]:
    """When each was last counted, to within the time from one save to the next."""
    found = _latest(list(Tally.select(Tally.latest)))
    return {each: db.instant(found[each]) for each in Count if each in found}


def _fold_gone(now: datetime, *, but: str) -> None:
    """Add the counts of processes that have long been silent to those of all that are gone."""
    silent = Tally.process_id.not_in([GONE, but]) & (Tally.updated_at < now - _REMEMBERED)
    deleted = list(Tally.delete().where(silent).returning(Tally.counts, Tally.latest).execute())
    if not deleted:
        return
    # Locked, where rows are, by the insert that makes it or finds it there.
    Tally.insert(process_id=GONE, counts={}, latest={}, updated_at=now).on_conflict(
        conflict_target=[Tally.process_id], update={Tally.updated_at: now}
    ).execute()
    rows = [Tally.get_by_id(GONE), *deleted]
    sums: Counter[str] = Counter()
    for each in rows:
        sums.update(each.counts)
    Tally.update(counts=dict(sums), latest=_latest(rows)).where(Tally.process_id == GONE).execute()


def _latest(rows: list[Tally]) -> dict[str, str]:
    """The latest of what *rows* say of each count; stamps sort as time does."""
    found: dict[str, str] = {}
    for row in rows:
        for what, at in row.latest.items():
            found[what] = max(found.get(what, at), at)
    return found
