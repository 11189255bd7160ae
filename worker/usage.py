"""What an agent says that it used up, as far as that can be true."""

from dataclasses import replace
from decimal import Decimal

from shared.attempts import Usage

# So that twenty attempts of a run still fit into its columns.
_MOST_COUNTED = 10**8
_MOST_USD = 10**6


def believable(usage: Usage) -> Usage:
    """*usage* without the numbers that no attempt can have used."""
    return Usage(**{name: each for name, each in usage.known().items() if _is_believable(each)})


def bounded(usage: Usage) -> Usage:
    """*usage*, or as much of it as one attempt can have used."""
    return Usage(**{name: min(each, _most(each)) for name, each in usage.known().items()})


def rounded(usage: Usage) -> Usage:
    """*usage* with its money in whole millionths."""
    cost, compute = _millionths(usage.cost_usd), _millionths(usage.compute_usd)
    return replace(usage, cost_usd=cost, compute_usd=compute)


def _millionths(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else round(usd, 6)


def _most(amount: int | Decimal) -> int:
    return _MOST_USD if isinstance(amount, Decimal) else _MOST_COUNTED


def _is_believable(amount: object) -> bool:
    match amount:
        case bool():
            return False
        case int():
            return 0 <= amount <= _MOST_COUNTED
        case Decimal():
            return amount.is_finite() and 0 <= amount <= _MOST_USD
    return False
