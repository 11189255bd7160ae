"""What a look at the system comes to: findings, and the words they are put in."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


class Status(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


OK, WARN, FAIL = Status


@dataclass(frozen=True)
class Finding:
    """What one check came to: a sentence, the cure where not all is well, the cause where known.

    The sentence names no host, user or file; only the cause, a driver's own words, may.
    """

    name: str
    status: Status
    says: str
    cure: str = ""
    cause: str = ""


def in_words(span: timedelta) -> str:
    """A span in its largest whole unit; what is less than nothing is nothing."""
    seconds = max(span, timedelta()).total_seconds()
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.3g} s"


def count(number: int, noun: str, plural: str = "") -> str:
    """The number and its noun."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def dollars(amount: Decimal | float) -> str:
    """The amount of US dollars, with as many digits as it has."""
    return f"{Decimal(str(amount)).normalize():f} USD"
