"""The events of runs: appended by whoever holds the run, and by nobody else."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared import db

_COLUMNS = {"ordinal": "int", "at": "utc", "type": "text", "data": "json"}


class Event(NamedTuple):
    """Something that happened in a run."""

    at: datetime
    type: str
    data: Mapping[str, Any]


def append(run_id: UUID, attempt: int, happened: Sequence[Event]) -> None:
    """Append what happened in *attempt*, if that is the latest and the run has not ended."""
    rows = [
        {"ordinal": ordinal, "at": db.stamp(each.at), "type": each.type, "data": each.data}
        for ordinal, each in enumerate(happened, start=1)
    ]
    db.execute(
        f"""
        INSERT INTO run_event (run_id, seq, at, attempt, type, data)
        SELECT run.id,
          d.ordinal + (SELECT COALESCE(MAX(seq), 0) FROM run_event e WHERE e.run_id = run.id),
          d.at, :attempt, d.type, d.data
        FROM {db.rows("rows", _COLUMNS)} d JOIN run
          ON run.id = :run_id AND run.attempt = :attempt AND run.finished_at IS NULL
        """,
        {"rows": json.dumps(rows), "run_id": run_id.hex, "attempt": attempt},
    )
