"""Functions called in processes of their own: measured alone, with no memory but theirs."""

import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

ROOT = Path(__file__).parent.parent


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What *function* of a module gives, called in a fresh process."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.fresh", function.__module__, function.__name__],
        input=pickle.dumps((args, kwargs)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        check=True,
    )
    return cast(T, pickle.loads(process.stdout))


def peak_mib() -> float:
    """The most memory that this process has held so far.

    On Linux not from `getrusage`, which counts what the parent held when it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _answer() -> None:
    # What the function prints is for people, and must not get into its answer.
    answer, sys.stdout = sys.stdout.buffer, sys.stderr
    module, name = sys.argv[1:]
    args, kwargs = pickle.loads(sys.stdin.buffer.read())
    function: Any = getattr(import_module(module), name)
    answer.write(pickle.dumps(function(*args, **kwargs)))
    answer.flush()


if __name__ == "__main__":
    _answer()
