"""How names are spelled on the wire."""

from functools import cache


@cache
def camel(name: str) -> str:
    """`next_run_at` as `nextRunAt`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
