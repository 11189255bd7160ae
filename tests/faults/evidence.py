"""All that the checker knows, sorted by run and attempt."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from named import Order
from record import Line, Row, Snapshot


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known; *clocks_lie* where instants of different processes cannot be compared."""

    snapshot: Snapshot
    lines: list[Line]
    orders: list[Order]
    clocks_lie: bool

    @cached_property
    def attempts(self) -> Mapping[str, "Mapping[int, Tried]"]:
        """Run → attempt → what is known of it."""
        tried: dict[str, dict[int, Tried]] = defaultdict(dict)
        for line in self.lines:
            attempt = tried[line.run].setdefault(line.attempt, Tried(line.run, line.attempt))
            (attempt.began if line.what == "began" else attempt.last).append(line)
        for event in self.snapshot.events:
            if event["type"] in {"attempt_failed", "put_back"}:
                attempts = tried[event["run_id"]]
                number = event["attempt"]
                attempts.setdefault(number, Tried(event["run_id"], number)).taken.append(event)
        return tried

    def is_after_all(self, tried: "Tried") -> bool:
        """Whether an attempt may have been claimed after the snapshot."""
        return bool(tried.began) and tried.began[0].monotonic > self.snapshot.since

    def tried(self, run: Row) -> "Mapping[int, Tried]":
        """What is known of the attempts at *run*."""
        return self.attempts.get(run["id"], {})


@dataclass
class Tried:
    """One attempt: its lines outside, and the events that say how the database took it back."""

    run: str
    attempt: int
    began: list[Line] = field(default_factory=list)
    last: list[Line] = field(default_factory=list)
    taken: list[Row] = field(default_factory=list)

    def __str__(self) -> str:
        return f"attempt {self.attempt} of run {UUID(self.run)}"

    def was_lost(self) -> bool:
        """Whether the database took it from a worker that no longer renewed its lease."""
        return any(event["data"].get("code") == "WORKER_LOST" for event in self.taken)
