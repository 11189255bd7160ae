"""Whose turn it is, of the runs that wait: no clock, no database.

Runs wait in lines, one for each agent and priority, in which who came first goes first. Nine places
in ten go to the highest priority, and among equals to the agent with the fewest runs under way
(max-min fairness), then to the one whose last turn is longest ago, so that nothing waits behind
other agents' long queues. Every tenth goes by the latter alone, so that no priority, however low,
waits for ever.
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
    """The runs of one agent and priority, named in hexadecimal digits, in the order they came."""

    agent_id: str
    priority: int
    #: Of each run: since when it could go, in any form that sorts, and its id.
    runs: Sequence[tuple[Any, str]]
    #: How many of them have got a place.
    gone: int = 0


class Turns:
    """Gives places away, and remembers who had a turn."""

    def __init__(self) -> None:
        self._given = 0
        # Of each agent that waits, the number of the last place that it got.
        self._last: dict[str, int] = {}

    def choose(
        self,
        lines: Sequence[Line],
        room: int,
        *,
        under_way: Mapping[str, int],
        most: Mapping[str, int],
    ) -> list[str]:
        """The runs that go now, at most *room* of them, in order.

        *under_way*: how many runs each agent has that were sent or run; *most*: how many it may
        have, where that is limited.
        """
        taken = Counter(under_way)
        last = {line.agent_id: self._last.get(line.agent_id, 0) for line in lines}

        def by_share(line: Line) -> tuple[Any, ...] | None:
            agent_id = line.agent_id
            if line.gone == len(line.runs) or taken[agent_id] >= most.get(agent_id, 2**63):
                return None
            since, _ = line.runs[line.gone]
            return taken[agent_id], last[agent_id], since

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
            chosen.append(line.runs[line.gone][1])
            line.gone += 1
            taken[line.agent_id] += 1
            self._given += 1
            last[line.agent_id] = self._given
        self._last = last
        return chosen


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
