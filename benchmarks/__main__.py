"""`python -m benchmarks`: which of them, on what; the machine, then the figures."""

import argparse
import signal
import sys

from benchmarks import api, machine, runs, storm
from benchmarks.stage import Kind, Stage

ALL = "all"
BENCHMARKS = ("storm", "runs", "api")
DATABASES = {"sqlite": [Kind.SQLITE], "postgres": [Kind.POSTGRES], "both": [*Kind]}


def main() -> None:
    """Run the benchmarks that are asked for."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    chosen = BENCHMARKS if ALL in asked.benchmarks else asked.benchmarks
    kinds = DATABASES[asked.database]
    print(machine.describe(), flush=True)
    with Stage() as stage:
        if "storm" in chosen:
            storm.run(stage, kinds, asked.schedules)
        if "runs" in chosen:
            runs.run(stage, kinds, asked.runs, asked.threads)
        if "api" in chosen:
            api.run(stage, kinds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "benchmarks", nargs="*", choices=(*BENCHMARKS, ALL), default=ALL, help="which of them"
    )
    parser.add_argument("--database", choices=DATABASES, default="both")
    parser.add_argument(
        "--schedules", type=int, nargs="+", default=[10_000, 100_000], help="due in the storm"
    )
    parser.add_argument("--runs", type=int, default=5000, help="echo runs")
    parser.add_argument("--threads", type=int, default=8, help="of a worker")
    return parser.parse_args()


if __name__ == "__main__":
    main()
