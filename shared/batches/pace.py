"""How fast a batch goes, and how long it will take: from samples of how many items had ended.

Items end as by chance, so *n* of them that ended in a while say that *n ± 2√n* might have (the
Poisson distribution, in its normal approximation); the time left is a range for that.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

# A sample is a number of seconds since the epoch, and how many items had ended by then.
Sample = tuple[float, int]

_MOST_SAMPLES, _OF_LATE = 24, 6
_APART_SECONDS = 2.0
# Fewer say nothing.
_LEAST_ENDED = 5
# What takes longer takes so long.
_LONGEST = timedelta(days=36_500)


class TimeLeft(NamedTuple):
    """How long a batch will take yet, between these two."""

    low: timedelta
    high: timedelta


def sampled(samples: Sequence[Sample], ended: int, now: datetime) -> list[Sample] | None:
    """*samples* with another one. None: it is too soon for that, or nothing has ended since.

    They are few, however long it takes: when there are too many, every second goes, and those to
    come are further apart.
    """
    moment = now.timestamp()
    if samples and moment - samples[-1][0] < _apart(samples):
        return None
    if len(samples) == 1:
        if ended == samples[0][1]:
            return None
        if moment - samples[0][0] > 2 * _APART_SECONDS:
            # How long items waited for a worker, at first or after a pause, says nothing of their
            # pace.
            samples = []
    kept = [*samples, (moment, ended)]
    return kept[::2] if len(kept) > _MOST_SAMPLES else kept


def time_left(
    samples: Sequence[Sample], *, ended: int, left: int, now: datetime
) -> TimeLeft | None:
    """How long the *left* items take, where *ended* ones did by *now*. None: nobody knows yet."""
    # Of late, so that it follows a change; but not of so late that it follows every item.
    of_late = samples[: max(len(samples) - _OF_LATE, 1)]
    for since, before in reversed(of_late):
        count, seconds = ended - before, now.timestamp() - since
        if count >= _LEAST_ENDED and seconds > 0:
            spread = 2 * sqrt(count)
            fastest, slowest = (count + spread) / seconds, (count - spread) / seconds
            return TimeLeft(_seconds(left / fastest), _seconds(left / slowest))
    return None


def _apart(samples: Sequence[Sample]) -> float:
    """How far apart samples are by now, in seconds, while there is somebody to take them."""
    gaps = (later - sooner for (sooner, _), (later, _) in pairwise(samples))
    return max(_APART_SECONDS, min(gaps, default=0.0)) * 0.99


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=min(number, _LONGEST.total_seconds()))
