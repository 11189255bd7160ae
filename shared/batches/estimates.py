"""What a batch will cost: from what was measured, as a range, and never a guess.

An item costs what its agent reports, and the time that it takes on a machine: seconds times the
price of an hour, shared among the threads of the worker. The mean of *n* measured costs with the
deviation *s* is itself uncertain by *s/√n*, and the sum of *m* more items varies by *s·√m* around
it; the range is two standard deviations of both together to either side, and more where few were
measured, as for the prediction of a sum from a sample: 19 of 20 are to be in it (if costs were
normal, which they seldom are). All were measured at another time, on busier machines or quieter
ones: what varies at all may also drift, by a twentieth of the mean for a standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import hypot, sqrt
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from shared import db

# So many of an agent's latest runs are looked at, and so many of these are measured.
_LOOKED_AT, _MEASURED = 1000, 200
_DRIFT = 0.05
# What costs something never costs nothing: the least of a range, as a share of its middle.
_LEAST = 0.1
_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class Measured:
    """The costs of some items, in US dollars: how many, their mean and standard deviation."""

    count: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, costs: Sequence[float]) -> "Measured":
        """What *costs*, which are some, come to."""
        return cls(len(costs), fmean(costs), pstdev(costs))

    def range_of(self, items: int) -> "Range":
        """What so many items will cost."""
        if self.count > 1:
            others = self.count - 1
            apart = _width(others) * self.deviation * sqrt(self.count / others)
        else:
            # One says nothing of how far they lie apart: as far as they are large, say.
            apart = 2 * self.mean
        apart *= sqrt(items * items / self.count + items)
        apart = hypot(apart, 2 * items * min(self.deviation, _DRIFT * self.mean))
        middle = self.mean * items
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


@dataclass(frozen=True)
class Estimate:
    """What a batch will cost, as far as anybody can tell; where nobody can, a sentence why.

    With a range, the sentence says what of the cost is not in it.
    """

    range: Range | None
    measured_runs: int
    says: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For the record of the batch."""
        low, high = (None, None) if self.range is None else self.range
        return {"low": low, "high": high, "measuredRuns": self.measured_runs, "says": self.says}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Estimate":
        """What `as_json` made."""
        known = value.get("low") is not None
        of_it = Range(value["low"], value["high"]) if known else None
        return cls(of_it, value.get("measuredRuns", 0), value.get("says"))


def compute_usd(seconds: float, price_per_hour: Decimal, threads: int) -> Decimal:
    """What an item costs as time on a machine whose worker runs *threads* items at a time."""
    usd = Decimal(str(max(seconds, 0.0))) * price_per_hour / _SECONDS_AN_HOUR / threads
    return round(usd, 6)


def before(
    agent_id: str, items: int, *, compute: str, price_per_hour: Decimal | None, threads: int
) -> Estimate:
    """What *items* of that agent will cost on a compute profile, by what its latest runs have."""
    latest = _latest(agent_id)
    return _estimated(
        [cost for cost, _ in latest],
        [seconds for _, seconds in latest],
        items,
        agent_id=agent_id,
        compute=compute,
        price_a_second=None
        if price_per_hour is None
        else float(price_per_hour) / _SECONDS_AN_HOUR / threads,
    )


def _estimated(
    costs: Sequence[float | None],
    seconds: Sequence[float],
    items: int,
    *,
    agent_id: str,
    compute: str,
    price_a_second: float | None,
) -> Estimate:
    if not costs:
        return Estimate(None, 0, f"No run of agent {agent_id} has been measured yet.")
    reported = [cost for cost in costs if cost is not None]
    computed = None if price_a_second is None else [each * price_a_second for each in seconds]
    if not reported and not price_a_second:
        says = (
            f"The runs of agent {agent_id} report no cost, and compute profile {compute} has"
            " no price."
        )
        return Estimate(None, len(costs), says)
    if not reported:
        assert computed is not None
        says = f"Time on machines only: the runs of agent {agent_id} report no cost of their own."
        return Estimate(Measured.of(computed).range_of(items), len(costs), says)
    of_agent = Measured.of(reported).range_of(items)
    if computed is None:
        says = f"Without the time on machines: compute profile {compute} has no price."
        return Estimate(of_agent, len(reported), says)
    return Estimate(of_agent + Measured.of(computed).range_of(items), len(reported))


def _latest(agent_id: str) -> list[tuple[float | None, float]]:
    """The costs and the seconds of an agent's latest runs that were completed or failed."""
    rows = db.execute(
        f"""
        SELECT cost_usd, started_at, finished_at FROM (
          SELECT status, cost_usd, started_at, finished_at FROM run {db.indexed_by("run_of_agent")}
          WHERE agent_id = :agent_id ORDER BY id DESC LIMIT :looked_at
        ) AS latest
        WHERE status IN ('COMPLETED', 'FAILED') AND started_at IS NOT NULL LIMIT :measured
        """,
        {"agent_id": agent_id, "looked_at": _LOOKED_AT, "measured": _MEASURED},
    ).fetchall()
    return [
        (
            None if cost is None else float(cost),
            # Workers do not agree on the time to the millisecond.
            max((db.instant(finished) - db.instant(started)).total_seconds(), 0.0),
        )
        for cost, started, finished in rows
    ]
