"""The lines in which the items of batches wait: one for each batch of a compute profile.

An item is a row of its batch until its turn comes; then it becomes a run, marked as sent from the
start. So a batch of a million items costs nobody but itself, and ends at a word.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, overload

from shared import db, ids, places
from shared.batches import item_runs
from shared.db import stamp
from shared.ids import uuid7_hex
from shared.messages import Chosen, Sending
from shared.turns import Line, Turns

# So many batches have their turns at a time, then those behind them, and so many runs are looked at
# that were tried before.
_MOST_LINES, _LOOKED_AT = 2000, 2000

_LIVE = """
    SELECT b.id, b.agent_id, b.priority, b.accepted_at, b.max_concurrency, a.max_concurrency,
      p.total - p.taken - p.dropped, p.taken, p.running + (
        SELECT COUNT(*) FROM run {by_item}
        WHERE status = 'QUEUED' AND batch_id = b.id AND dispatches > 0
      )
    FROM batch b JOIN batch_progress p ON p.batch_id = b.id JOIN agent a ON a.id = b.agent_id
    WHERE b.finished_at IS NULL AND b.queue = :queue AND b.status IN ('QUEUED', 'RUNNING')
      AND b.accepted_at IS NOT NULL AND b.ending_at IS NULL AND a.enabled
      AND (b.budget_usd IS NULL OR p.agent_micros + p.compute_micros < b.budget_usd * 1000000)
      AND (p.taken + p.dropped < p.total OR p.queued > 0)
      AND b.id > :after AND b.id <= :until
    ORDER BY b.id LIMIT :limit {locking}
"""
# Those that were tried or sent before.
_AGAIN = """
    SELECT batch_id, available_at, id FROM run {by_item}
    WHERE status = 'QUEUED' AND batch_id IS NOT NULL AND queue = :queue
      AND available_at <= :now AND dispatches = 0
    ORDER BY available_at LIMIT :limit
"""


class Live(NamedTuple):
    """A batch that has items to run."""

    id: str
    agent_id: str
    priority: int
    since: Any
    most: int | None
    agent_most: int | None
    #: How many of its items have not become runs, and the place of the first of them.
    fresh: int
    taken: int
    under_way: int


class BatchLines:
    """Chooses among the batches of one queue, and remembers whose turn it was."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._turns = Turns()
        self._after = ids.FIRST_HEX

    def choose(self, now: datetime, room: int, *, again_at: str) -> Chosen:
        """The items that go at *now*, at most *room* of them, in order.

        Those that have not been runs become some, sent again at *again_at* if nobody claims them.
        """
        chosen = Chosen()
        batches = _live(self.queue, self._after)
        self._after = batches[-1].id if len(batches) == _MOST_LINES else ids.FIRST_HEX
        limited = {
            each.agent_id: each.agent_most for each in batches if each.agent_most is not None
        }
        # An agent that somebody else has locked is left to the next dispatch, which is soon.
        passed_by = limited.keys() - places.locked(limited)
        batches = [each for each in batches if each.agent_id not in passed_by]
        again = _again(self.queue, now)
        lines = [_line(each, again[each.id]) for each in batches]
        left = _places_left(batches, limited)
        order = self._turns.choose(
            lines, room, under_way={each.id: each.under_way for each in batches}, places=left
        )
        made = self._made(batches, lines, again_at=again_at, now=now)
        for name in order:
            if name in made:
                chosen.marked.append(Sending(made[name], 0))
            else:
                chosen.unsent.append(Sending(name, 0))
        chosen.held_back = bool(passed_by) or any(
            line.gone < len(line.runs) and (line.owner in left or line.hosts[0] in left)
            for line in lines
        )
        return chosen

    def _made(
        self, batches: list[Live], lines: list[Line], *, again_at: str, now: datetime
    ) -> dict[str, str]:
        """Make runs of the fresh items that have got a place; the id of each by its name."""
        made: dict[str, str] = {}
        rows = []
        for batch, line in zip(batches, lines, strict=True):
            assert isinstance(line.runs, _Waiting)
            for number in range(max(line.gone - line.runs.tried, 0)):
                name, run_id = line.runs.name(number), uuid7_hex(now)
                made[name] = run_id
                rows.append(
                    {"id": run_id, "batch_id": batch.id, "item_index": batch.taken + number}
                )
        if rows:
            item_runs.make(rows, again_at=again_at)
        return made


class _Waiting(Sequence[tuple[Any, str]]):
    """The runs of a line: those that were tried before, and then the fresh items, by a name each.

    There may be a million of the latter; they are not written out.
    """

    def __init__(self, batch: Live, again: list[tuple[Any, str]]) -> None:
        self._batch, self._again = batch, again
        self.tried = len(again)

    def __len__(self) -> int:
        return self.tried + self._batch.fresh

    @overload
    def __getitem__(self, number: int) -> tuple[Any, str]: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[tuple[Any, str]]: ...

    def __getitem__(self, number: Any) -> Any:
        if number < self.tried:
            return self._again[number]
        return self._batch.since, self.name(number - self.tried)

    def name(self, number: int) -> str:
        """What the fresh item of that number is called, until it is a run."""
        return f"{self._batch.id} {number}"


def _live(queue: str, after: str) -> list[Live]:
    """The batches of *queue* that have items to run, from those behind *after* on, and round.

    They are locked: whoever pauses one waits for us.
    """
    batches = _between(queue, after, ids.LAST_HEX, _MOST_LINES)
    if after != ids.FIRST_HEX and len(batches) < _MOST_LINES:
        batches += _between(queue, ids.FIRST_HEX, after, _MOST_LINES - len(batches))
    return batches


def _between(queue: str, after: str, until: str, limit: int) -> list[Live]:
    sql = _LIVE.format(
        by_item=db.indexed_by("run_item_queued"),
        locking=db.locking("FOR NO KEY UPDATE OF b SKIP LOCKED"),
    )
    values = {"queue": queue, "after": after, "until": until, "limit": limit}
    return [Live(db.uuid_hex(id), *rest) for id, *rest in db.execute(sql, values).fetchall()]


def _again(queue: str, now: datetime) -> dict[str, list[tuple[Any, str]]]:
    sql = _AGAIN.format(by_item=db.indexed_by("run_item_queued"))
    values = {"queue": queue, "now": stamp(now), "limit": _LOOKED_AT}
    found: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for batch_id, since, run_id in db.execute(sql, values).fetchall():
        found[db.uuid_hex(batch_id)].append((since, db.uuid_hex(run_id)))
    return found


def _line(batch: Live, again: list[tuple[Any, str]]) -> Line:
    return Line(batch.id, batch.priority, _Waiting(batch, again), hosts=(_host(batch.agent_id),))


def _host(agent_id: str) -> str:
    """The agent, as one who gives places to batches; no batch is called so."""
    return f"agent {agent_id}"


def _places_left(batches: list[Live], limited: dict[str, int]) -> dict[str, int]:
    left = {each.id: each.most - each.under_way for each in batches if each.most is not None}
    if limited:
        taken: dict[str, int] = defaultdict(int)
        for (agent_id, _), count in places.under_way().items():
            taken[agent_id] += count
        left |= {_host(id): most - taken[id] for id, most in limited.items()}
    return left
