"""How fast a batch goes, and how long it will take: from samples of how many items had ended.

Items end as by chance, so *n* of them that ended in a while say that *n ± 2√n* might have (the
Poisson distribution, in its normal approximation); the time left is a range for that.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import sqrt
from typing import NamedTuple

# A sample is a number of seconds since the epoch, and how many items had ended by then.
Sample = tuple[float, int]

_MOST_SAMPLES = 24
_APART_SECONDS = 2.0
# Fewer say nothing.
_LEAST_ENDED = 5


class TimeLeft(NamedTuple):
    """How long a batch will take yet, between these two."""

    low: timedelta
    high: timedelta


def sampled(samples: Sequence[Sample], ended: int, now: datetime) -> list[Sample] | None:
    """*samples* with another one. None: it is too soon for that.

    They are few, however long it takes: when there are too many, every second goes, and those to
    come are further apart.
    """
    moment = now.timestamp()
    if samples and moment - samples[-1][0] < _apart(samples):
        return None
    kept = [*samples, (moment, ended)]
    return kept[::2] if len(kept) > _MOST_SAMPLES else kept


def time_left(
    samples: Sequence[Sample], *, ended: int, left: int, now: datetime
) -> TimeLeft | None:
    """How long the *left* items take, where *ended* ones did by *now*. None: nobody knows yet."""
    # Of late, so that it follows a change; but not of so late that it follows every item.
    of_late = samples[: max(len(samples) - _MOST_SAMPLES // 2, 1)]
    for since, before in reversed(of_late):
        count, seconds = ended - before, now.timestamp() - since
        if count >= _LEAST_ENDED and seconds > 0:
            spread = 2 * sqrt(count)
            fastest, slowest = (count + spread) / seconds, (count - spread) / seconds
            return TimeLeft(timedelta(seconds=left / fastest), timedelta(seconds=left / slowest))
    return None


def _apart(samples: Sequence[Sample]) -> float:
    """How far apart samples are by now, in seconds."""
    if len(samples) < 2:
        return _APART_SECONDS
    return max(_APART_SECONDS, samples[-1][0] - samples[-2][0]) * 0.99
