"""What a batch costs: estimated, corrected while it runs, and what it has come to."""

from math import sqrt
from typing import Any

from shared.batches.estimates import Estimate
from shared.batches.row import State
from shared.measuring import Measured, Range

# So many items must have ended for what they cost to say more than what others did.
_LEAST_MEASURED = 5


def estimated(batch: State) -> dict[str, Any]:
    """What it will have cost in the end, by what is known now, beside what was said before."""
    before = Estimate.from_json(batch.estimate)
    expected, says = before.range, before.says
    spent = (batch.agent_micros + batch.compute_micros) / 1_000_000
    left = batch.total - batch.ended
    if batch.finished_at is not None and _is_known(batch):
        expected = Range(spent, spent)
    elif batch.measured >= _LEAST_MEASURED and _is_known(batch):
        expected = Range(spent, spent) + _own(batch).range_of(left)
    elif expected is not None:
        expected = Range(spent, spent) + expected.times(left / batch.total)
    return {
        "lowUsd": expected and round(expected.low, 6),
        "highUsd": expected and round(expected.high, 6),
        "note": says if expected is None or before.range is not None else None,
        "beforeItRan": {
            "lowUsd": before.range and round(before.range.low, 6),
            "highUsd": before.range and round(before.range.high, 6),
            "note": before.says,
        },
    }


def interruptions(batch: State) -> dict[str, Any]:
    """How often an item of it was interrupted, and what the time cost that was lost."""
    known = batch.price_per_hour is not None
    return {
        "count": batch.interruptions,
        "costUsd": _usd(batch.interrupted_micros if known else None),
    }


def _own(batch: State) -> Measured:
    """What its own items have cost."""
    mean = (batch.agent_micros + batch.compute_micros - batch.interrupted_micros) / batch.measured
    variance = max(batch.squared_micros / batch.measured - mean * mean, 0.0)
    return Measured(batch.measured, mean / 1_000_000, sqrt(variance) / 1_000_000)


def _is_known(batch: State) -> bool:
    """Whether anything is known of what its items cost."""
    return bool(batch.costed or batch.price_per_hour)


def actual(batch: State) -> dict[str, Any]:
    """What it has cost up to now, as far as anybody knows."""
    reports_none = batch.measured and not batch.costed
    of_agent = None if reports_none else batch.agent_micros
    computed = None if batch.price_per_hour is None else batch.compute_micros
    # What costs nothing says nothing of the rest.
    known = of_agent is not None or bool(batch.price_per_hour)
    return {
        "usd": _usd((of_agent or 0) + (computed or 0) if known else None),
        "agentUsd": _usd(of_agent),
        "computeUsd": _usd(computed),
    }


def _usd(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000
