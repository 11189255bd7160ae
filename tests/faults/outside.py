"""The outside world: agents of the kind `outside`, and the file in which they tell what they do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import record
from factories import make_agent
from record import Line
from waiting import wait_until

PLUGIN = Path(__file__).parent / "plugin"


class Outside:
    """Makes agents, and reads what they did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._agents = 0

    def agent(
        self, *, max_concurrency: int | None = None, timeout_seconds: int = 600, **config: Any
    ) -> str:
        """Make an agent of the kind `outside`; its id.

        *config*: `seconds` that it works; `ignoresStop`; `fails` and `kills`, the attempts up to
        which it fails (for good, with `retryable=False`) or kills its worker.
        """
        self._agents += 1
        id = f"outside-{self._agents}"
        make_agent(
            id,
            kind="outside",
            config={"path": str(self.path), **config},
            max_concurrency=max_concurrency,
            timeout_seconds=timeout_seconds,
        )
        return id

    def lines(self, what: str | None = None) -> list[Line]:
        """What the agents did; only where they *began*, *ended*, *failed* or *stopped*."""
        return [line for line in record.lines(self.path) if what in {None, line.what}]

    def wait_for(
        self, what: str, count: int = 1, *, timeout: float = 60, attempt: int | None = None
    ) -> list[Line]:
        """Wait until agents have *began*, *ended*, … so many times, and give those lines."""

        def found() -> list[Line]:
            return [line for line in self.lines(what) if attempt in {None, line.attempt}]

        enough: Callable[[], list[Line]] = lambda: lines if len(lines := found()) >= count else []  # noqa: E731
        return wait_until(enough, f"{count} times {what} outside", timeout=timeout)
