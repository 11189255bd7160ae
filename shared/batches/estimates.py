"""What a batch will cost: from what was measured, as a range, and never a guess.

An item costs what its agent reports, and the time that it takes on a machine: seconds times the
price of an hour, shared among the threads of the worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shared import measuring
from shared.measuring import Measured, Range

_SECONDS_AN_HOUR = 3600


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
    latest = measuring.latest(agent_id)
    return _estimated(
        [run.cost_usd for run in latest],
        [run.seconds for run in latest],
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
