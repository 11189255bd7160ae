"""Pages of long lists, and how far into one anybody may ask."""

from dataclasses import dataclass
from typing import Any

from shared.errors import Invalid

# A row as the driver gives it, in the order of its listing's columns.
Row = tuple[Any, ...]

DEFAULT_SIZE = 20
LARGEST_SIZE = 200
# The database walks over what it skips: beyond this, a filter is the answer.
DEEPEST = 1_000_000


@dataclass(frozen=True)
class Paging:
    """Which page, how long, and in which order: `(name, descending)`, or the list's own."""

    number: int = 0
    size: int = DEFAULT_SIZE
    sort: tuple[str, bool] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_SIZE:
            raise Invalid({"size": [f"Give a number from 1 to {LARGEST_SIZE}."]})
        if self.number < 0:
            raise Invalid({"page": ["Pages are counted from 0."]})
        if self.offset > DEEPEST:
            raise Invalid(
                {"page": [f"Only the first {DEEPEST:,} entries have pages: narrow the filter."]}
            )

    @property
    def offset(self) -> int:
        """How many entries come before the page."""
        return self.number * self.size


@dataclass(frozen=True)
class Page:
    """Some entries of a list, and how many it has."""

    rows: list[Row]
    number: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages the list has."""
        return -(-self.total // self.size)
