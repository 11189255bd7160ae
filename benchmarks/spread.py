"""How times are spread."""

from collections.abc import Iterable
from datetime import timedelta
from statistics import median, quantiles
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """Of many times in milliseconds: the middle, what one in a hundred exceeds, the worst."""

    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, times: Iterable[timedelta]) -> Self:
        """How *times* are spread, of which there are at least two."""
        took_ms = [each / timedelta(milliseconds=1) for each in times]
        *_, p99 = quantiles(took_ms, n=100, method="inclusive")
        return cls(median(took_ms), p99, max(took_ms))

    def cells(self) -> list[str]:
        """As a table shows it."""
        return [f"{each:.1f} ms" for each in self]
