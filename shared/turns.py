"""Whose turn it is, of the runs that wait: no clock, no database.

Runs wait in lines, in which who came first goes first, and each line takes the places of somebody:
of an agent, or of a batch. Nine places in ten go to the highest priority, and among equals to who
has the fewest runs under way (max-min fairness), then to who had the last turn longest ago, so that
nothing waits behind the long queues of others. Every tenth goes by the latter alone, so that no
priority, however low, waits for ever.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of so many places, one is given without regard to priority.
SHARED_PLACE = 10


@dataclass
class Line:
    """The runs of one owner and priority, named in hexadecimal digits, in the order they came."""

    #: Who takes turns with others.
    owner: str
    priority: int
    #: Of each run: since when it could go, in any form that sorts, and its id.
    runs: Sequence[tuple[Any, str]]
    #: Who else gives a place to each of its runs, beside the owner.
    hosts: tuple[str, ...] = ()
    #: How many of them have got a place.
    gone: int = 0

    @property
    def next_run(self) -> str:
        """The run whose turn it is, once it is this line's."""
        return self.runs[self.gone][1]


class Turns:
    """Gives places away, and remembers who had a turn."""

    def __init__(self) -> None:
        self._given = 0
        # Of each owner that waits, the number of the last place that it got.
        self._last: dict[str, int] = {}

    def choose(
        self,
        lines: Sequence[Line],
        room: int,
        *,
        under_way: Mapping[str, int],
        places: Mapping[str, int],
    ) -> list[str]:
        """The runs that go now, at most *room* of them, in order.

        *under_way*: how many runs each owner has that were sent or run; *places*: how many more
        each owner and host has a place for, where that is limited.
        """
        taken = Counter(under_way)
        left = dict(places)
        last = {line.owner: self._last.get(line.owner, 0) for line in lines}

        def by_share(line: Line) -> tuple[Any, ...] | None:
            if line.gone == len(line.runs) or any(left.get(each, 1) <= 0 for each in _givers(line)):
                return None
            since, _ = line.runs[line.gone]
            return taken[line.owner], last[line.owner], since

        def by_priority(line: Line) -> tuple[Any, ...] | None:
            share = by_share(line)
            return share and (-line.priority, *share)

        urgent_first, fewest_first = _Order(lines, by_priority), _Order(lines, by_share)
        chosen: list[str] = []
        while len(chosen) < room:
            shared = self._given % SHARED_PLACE == SHARED_PLACE - 1
            line = (fewest_first if shared else urgent_first).first()
            if line is None:
                break
            chosen.append(line.next_run)
            line.gone += 1
            taken[line.owner] += 1
            for each in _givers(line):
                if each in left:
                    left[each] -= 1
            self._given += 1
            last[line.owner] = self._given
        self._last = last
        return chosen


def _givers(line: Line) -> tuple[str, ...]:
    return (line.owner, *line.hosts)


class _Order:
    """Lines by a key that only grows; each is looked at again when it comes to the front."""

    def __init__(
        self, lines: Sequence[Line], key: Callable[[Line], tuple[Any, ...] | None]
    ) -> None:
        self._key = key
        keyed = ((key(line), number, line) for number, line in enumerate(lines))
        self._heap = [(at, number, line) for at, number, line in keyed if at is not None]
        heapq.heapify(self._heap)

    def first(self) -> Line | None:
        """The line whose turn it is. None: none has a run that may go."""
        while self._heap:
            at, number, line = self._heap[0]
            now = self._key(line)
            if now == at:
                return line
            if now is None:
                heapq.heappop(self._heap)
            else:
                heapq.heapreplace(self._heap, (now, number, line))
        return None
