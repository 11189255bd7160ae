"""What an agent's latest runs have cost, and what more of them will: as a range, never a guess.

The mean of *n* measured costs with the deviation *s* is itself uncertain by *s/√n*, and the sum of
*m* more runs varies by *s·√m* around it; the range is two standard deviations of both together to
either side, and more where few were measured, as for the prediction of a sum from a sample: 19 of
20 are to be in it (if costs were normal, which they seldom are). All were measured at another time,
on busier machines or quieter ones: what varies at all may also drift, by a twentieth of the mean
for a standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import fmean, pstdev
from typing import NamedTuple

from shared import db

# So many of an agent's latest runs are looked at, and so many of these are measured.
_LOOKED_AT, _MEASURED = 1000, 200
_DRIFT = 0.05
# What costs something never costs nothing: the least of a range, as a share of its middle.
_LEAST = 0.1


class MeasuredRun(NamedTuple):
    """What a run cost by its agent's word, if that said so, and how long it took."""

    cost_usd: float | None
    seconds: float


def latest(agent_id: str) -> list[MeasuredRun]:
    """The agent's latest runs, of those that were completed or failed."""
    rows = db.execute(
        f"""
        SELECT cost_usd, started_at, finished_at FROM (
          SELECT status, trigger, cost_usd, started_at, finished_at
          FROM run {db.indexed_by("run_of_agent")}
          WHERE agent_id = :agent_id ORDER BY id DESC LIMIT :looked_at
        ) AS latest
        WHERE status IN ('COMPLETED', 'FAILED') AND started_at IS NOT NULL AND trigger <> 'CHECK'
        LIMIT :measured
        """,
        {"agent_id": agent_id, "looked_at": _LOOKED_AT, "measured": _MEASURED},
    ).fetchall()
    return [
        MeasuredRun(
            None if cost is None else float(cost),
            # Workers do not agree on the time to the millisecond.
            max((db.instant(finished) - db.instant(started)).total_seconds(), 0.0),
        )
        for cost, started, finished in rows
    ]


@dataclass(frozen=True)
class Measured:
    """The costs of some runs, in US dollars: how many, their mean and standard deviation."""

    count: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, costs: Sequence[float]) -> "Measured":
        """What *costs*, which are some, come to."""
        return cls(len(costs), fmean(costs), pstdev(costs))

    def range_of(self, runs: int) -> "Range":
        """What so many runs will cost."""
        if self.count > 1:
            others = self.count - 1
            apart = _width(others) * self.deviation * sqrt(self.count / others)
        else:
            # One says nothing of how far they lie apart: as far as they are large, say.
            apart = 2 * self.mean
        apart *= sqrt(runs * runs / self.count + runs)
        apart = hypot(apart, 2 * runs * min(self.deviation, _DRIFT * self.mean))
        middle = self.mean * runs
        return Range(max(middle - apart, _LEAST * middle), middle + apart)


def _width(others: int) -> float:
    """Within how many standard deviations are 19 of 20, where one and so many others tell of it.

    That is the quantile of Student's distribution, by the first terms of its expansion.
    """
    return 1.96 + 2.37 / others + 2.82 / others**2 + 2.56 / others**3


class Range(NamedTuple):
    """An amount of US dollars, between these two."""

    low: float
    high: float

    def __add__(self, other: object) -> "Range":
        """The range of the sum of both."""
        assert isinstance(other, Range)
        return Range(self.low + other.low, self.high + other.high)

    def times(self, share: float) -> "Range":
        """That share of it."""
        return Range(self.low * share, self.high * share)
