"""What runs have used up, added up: by schedule, agent, model or day.

All of it is in the index `run_costs`, where a run is from its end on, if it ever started and is no
check: messages and answers, which may be long, are never read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from shared import db
from shared.db import stamp
from shared.pages import Page, Paging
from shared.time_range import TimeRange


class GroupBy(StrEnum):
    """What runs are added up by."""

    SCHEDULE = "schedule"
    AGENT = "agent"
    MODEL = "model"
    DAY = "day"


class Sums(NamedTuple):
    """What some runs have used up; null where none of them says."""

    runs: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    compute_usd: Decimal | None
    unpriced_runs: int

    @property
    def total_tokens(self) -> int | None:
        """Tokens read and written."""
        tokens: int | None = _together((self.input_tokens, self.output_tokens))
        return tokens


_UNPRICED = """COUNT(*) FILTER (
  WHERE cost_usd IS NULL AND (model IS NOT NULL OR input_tokens > 0 OR output_tokens > 0)
)"""
_SUMS_OF_COUNTS = {"runs": "SUM(runs)", "unpriced_runs": "SUM(unpriced_runs)"}
_KEYS = {GroupBy.SCHEDULE: "schedule_id", GroupBy.AGENT: "agent_id", GroupBy.MODEL: "model"}
_FILTERS = {"agent_id": "agent_id = :agent_id", "schedule_id": "schedule_id = :schedule_id"}

_GROUPS = """
    WITH grouped AS (
      SELECT {key} AS key, {sums} FROM {ended} GROUP BY {key}
    ), placed AS (
      SELECT grouped.*, ROW_NUMBER() OVER (
        ORDER BY cost_usd DESC NULLS LAST, runs DESC, key
      ) AS place FROM grouped
    )
    SELECT 0, COUNT(*), NULL, NULL, {total} FROM grouped
    UNION ALL
    SELECT place, NULL, key, {name}, {names} FROM placed
    WHERE place > :skipped AND place <= :skipped + :size
    ORDER BY 1
"""
_NAME_OF_SCHEDULE = "(SELECT s.name FROM schedule s WHERE s.id = placed.key)"

# Each is looked up in the index by itself, which takes no sorting of runs.
_DAYS = """
    SELECT d.day, (SELECT {array}({sums}) FROM {ended}) FROM {days} d ORDER BY d.day
"""


def page(
    group_by: GroupBy, time_range: TimeRange, filters: Mapping[str, Any], paging: Paging
) -> tuple[Sums, Page]:
    """What the runs that ended in that time have used up: all together, and a page of the groups.

    Each row of it is the key of a group, its name if it has one, and its sums: the most costly
    first, but days in order. A day without a run has none.
    """
    values = {name: each.hex if isinstance(each, UUID) else each for name, each in filters.items()}
    if group_by is GroupBy.DAY:
        return _by_day(time_range, values, paging)
    sums = _sums()
    sql = _GROUPS.format(
        key=_KEYS[group_by],
        sums=", ".join(f"{sql} AS {name}" for name, sql in sums.items()),
        ended=_ended(":since", ":until", filters),
        total=", ".join((sums | _SUMS_OF_COUNTS).values()),
        name=_NAME_OF_SCHEDULE if group_by is GroupBy.SCHEDULE else "NULL",
        names=", ".join(sums),
    )
    within = {"since": stamp(time_range.since), "until": stamp(time_range.until)}
    shown = {"skipped": paging.offset, "size": paging.size}
    (_, count, _, _, *total), *groups = db.execute(sql, {**values, **within, **shown}).fetchall()
    rows = [(key, name, _read(sums)) for _, _, key, name, *sums in groups]
    return _read(total), Page(rows, paging.number, paging.size, count)


def _by_day(time_range: TimeRange, values: Mapping[str, Any], paging: Paging) -> tuple[Sums, Page]:
    sql = _DAYS.format(
        array="json_array" if db.is_sqlite() else "json_build_array",
        sums=", ".join(_sums().values()),
        ended=_ended("d.since", "d.until", values),
        days=db.rows("days", {"day": "text", "since": "utc", "until": "utc"}),
    )
    asked = [
        {"day": each.date.isoformat(), "since": stamp(each.since), "until": stamp(each.until)}
        for each in time_range.days()
    ]
    rows = db.execute(sql, {**values, "days": json.dumps(asked)}).fetchall()
    found = [(day, None, _read(db.json_value(sums))) for day, sums in rows]
    total = Sums(*map(_together, zip(*(sums for _, _, sums in found), strict=True)))
    some = [row for row in found if row[-1].runs]
    shown = some[paging.offset : paging.offset + paging.size]
    return total, Page(shown, paging.number, paging.size, len(some))


def _sums() -> dict[str, str]:
    """The SQL for each of `Sums`."""
    # SQLite adds up binary fractions; whole millionths it adds up exactly.
    exact = "SUM(ROUND({} * 1000000)) / 1000000" if db.is_sqlite() else "SUM({})"
    return {
        "runs": "COUNT(*)",
        **{name: f"SUM({name})" for name in ("input_tokens", "output_tokens")},
        **{name: exact.format(name) for name in ("cost_usd", "compute_usd")},
        "unpriced_runs": _UNPRICED,
    }


def _ended(since: str, until: str, filters: Mapping[str, Any]) -> str:
    conditions = (
        "started_at IS NOT NULL",
        "trigger <> 'CHECK'",
        f"finished_at >= {since} AND finished_at < {until}",
        *(_FILTERS[name] for name in filters),
    )
    return f"run {db.indexed_by('run_costs')} WHERE {' AND '.join(conditions)}"


def _read(row: Sequence[Any]) -> Sums:
    runs, input_tokens, output_tokens, cost_usd, compute_usd, unpriced_runs = row
    return Sums(
        # A sum of sums is no `int` on PostgreSQL, and there is none of no groups.
        int(runs or 0),
        _whole(input_tokens),
        _whole(output_tokens),
        _exact(cost_usd),
        _exact(compute_usd),
        int(unpriced_runs or 0),
    )


def _whole(number: Decimal | int | None) -> int | None:
    return None if number is None else int(number)


def _exact(usd: Decimal | float | None) -> Decimal | None:
    """*usd* to the millionth, as every cost is: from SQLite, and from JSON, it is a binary one."""
    return None if usd is None else round(Decimal(str(usd)), 6)


def _together(several: Iterable[Any]) -> Any:
    """The sum of what is known of *several*. None: nothing is."""
    known = [each for each in several if each is not None]
    return sum(known) if known else None
