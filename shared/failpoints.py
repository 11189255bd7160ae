"""Named points, one at each boundary that a promise depends on, at which tests break a process.

In a normal start nothing happens at any of them, and nothing can make it happen: what kills,
raises or waits is part of the tests, whose own way of starting a process arms them.
"""

from collections.abc import Callable

POINTS = frozenset(
    {
        "scheduler.before_insert",
        "scheduler.before_commit",
        "scheduler.after_commit",
        "scheduler.after_send",
        "worker.before_claim",
        "worker.after_claim",
        "worker.before_finish",
        "worker.after_finish",
        "worker.heartbeat",
        "api.after_commit",
        "api.before_dispatch",
    }
)

_armed: Callable[[str], None] | None = None


def arm(action: Callable[[str], None]) -> None:
    """Have *action* called with the name of each point that this process reaches."""
    global _armed
    _armed = action


def reach(point: str) -> None:
    """Say that the process is at *point*; see `POINTS`."""
    if _armed is not None:
        _armed(point)
