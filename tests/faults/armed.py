"""Starts a process of the Procfile in which failpoints break something: `armed.py worker`.

The environment variable FAILPOINTS says which, separated by commas:

    worker.after_claim=kill              kill -9 of the process (of the API: of all its processes)
    scheduler.before_commit=raise        raise `Broken`
    worker.heartbeat=freeze              SIGSTOP; SIGCONT lets the process go on
    api.after_commit=wait:/some/folder   touch api.after_commit.reached there, then wait until
                                         there is an api.after_commit.go

`@2` behind that means only the second time that this process reaches the point, `@2+` from then
on. Without it, it is the first time, for `raise` every time.
"""

import os
import re
import runpy
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
if __name__ == "__main__":
    # A script has its own folder first on its path; what the Procfile starts has the root.
    sys.path[0] = str(ROOT)

from shared import failpoints  # noqa: E402 - found only now
from shared.settings import environment  # noqa: E402

VARIABLE = "FAILPOINTS"
POINTS = failpoints.POINTS | {"agent.mid_run"}  # The last is the kind `outside`'s own.

_ORDER = re.compile(
    r"(?P<point>[a-z._]+)=(?P<action>kill|raise|freeze|wait:(?P<folder>[^@]+))"
    r"(@(?P<time>[1-9][0-9]*)(?P<onwards>\+)?)?"
)


class Broken(Exception):
    """What `raise` raises."""


@dataclass(frozen=True)
class Order:
    """What is to happen at a point, and at which times that it is reached."""

    point: str
    act: Callable[[], None]
    first: int
    last: float

    @classmethod
    def read(cls, text: str, *, kind: str) -> "Order":
        """Read `point=action@time`. Raises `ValueError`."""
        match = _ORDER.fullmatch(text)
        if match is None:
            raise ValueError(f"{VARIABLE} has {text!r}, which is not point=action or its @time.")
        point, action = match["point"], match["action"]
        if point not in POINTS:
            raise ValueError(f"{VARIABLE}: no point {point!r}; there are {sorted(POINTS)}.")
        actions: dict[str, Callable[[], None]] = {
            "kill": _kill_all if kind == "web" else _kill,
            "raise": lambda: _raise(point),
            # Sent to this thread, for sent to the process it lets this thread go on for a moment.
            "freeze": lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP),
            "wait": lambda: _wait(Path(match["folder"]), point),
        }
        first = int(match["time"] or 1)
        every = match["onwards"] or (match["time"] is None and action == "raise")
        return cls(
            point, actions[action.partition(":")[0]], first, float("inf") if every else first
        )


class Saboteur:
    """Counts how often this process reaches each point, and carries out the orders."""

    def __init__(self, orders: list[Order]) -> None:
        self._orders = orders
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Be told that the process is at *point*."""
        with self._lock:
            self._reached[point] += 1
            time_ = self._reached[point]
        for order in self._orders:
            if order.point == point and order.first <= time_ <= order.last:
                order.act()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_all() -> None:
    # Gunicorn would at once put another, armed anew, in the place of the one that died.
    os.killpg(0, signal.SIGKILL)


def _raise(point: str) -> None:
    raise Broken(f"Broken on purpose at {point}.")


def _wait(folder: Path, point: str) -> None:
    (folder / f"{point}.reached").touch()
    while not (folder / f"{point}.go").exists():
        time.sleep(0.005)


def main(kind: str) -> None:
    """Arm what FAILPOINTS says, and become the process that the Procfile names *kind*."""
    orders = [
        Order.read(text.strip(), kind=kind) for text in environment().get(VARIABLE, "").split(",")
    ]
    failpoints.arm(Saboteur(orders))
    command = re.search(rf"^{kind}: (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert command is not None, f"The Procfile has no {kind}."
    words = shlex.split(command[1])
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    module, *arguments = words[2:] if words[:2] == ["python", "-m"] else words
    sys.argv = [module, *arguments]
    # Gunicorn's workers are forks of this process, armed as it is.
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
