"""`python -m benchmarks`: which of them, on what; the machine, then the figures."""

import argparse
import signal
import sys

from benchmarks import (
    api,
    batches,
    costs,
    latency,
    machine,
    many,
    models,
    recovery,
    runs,
    storage,
    storm,
    triggers,
)
from benchmarks.stage import Kind, Stage

ALL = "all"
BENCHMARKS = (
    *("storm", "runs", "costs", "latency", "triggers", "recovery", "many", "batches", "api"),
    *("storage", "models"),
)
DATABASES = {"sqlite": [Kind.SQLITE], "postgres": [Kind.POSTGRES], "both": [*Kind]}


def main() -> None:
    """Run the benchmarks that are asked for."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    chosen = BENCHMARKS if ALL in asked.benchmarks else asked.benchmarks
    print(machine.describe(), flush=True)
    with Stage() as stage:
        for name in chosen:
            _run(name, stage, asked)


def _run(name: str, stage: Stage, asked: argparse.Namespace) -> None:
    kinds = DATABASES[asked.database]
    match name:
        case "storm":
            storm.run(stage, kinds, asked.schedules)
        case "runs":
            runs.run(stage, kinds, asked.runs, asked.threads, asked.rounds)
        case "costs":
            costs.run(stage, kinds, asked.threads)
        case "latency":
            latency.run(stage, kinds, asked.seconds, asked.threads)
        case "triggers":
            triggers.run(stage, kinds, asked.threads)
        case "recovery":
            recovery.run(stage, kinds, asked.kills)
        case "many":
            many.run(stage, kinds)
        case "batches":
            batches.run(stage, kinds, asked.items, asked.threads)
        case "api":
            api.run(stage, kinds)
        case "storage":
            storage.run(stage, kinds)
        case "models":
            models.run(stage, kinds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "benchmarks", nargs="*", choices=(*BENCHMARKS, ALL), default=ALL, help="which of them"
    )
    parser.add_argument("--database", choices=DATABASES, default="both")
    parser.add_argument(
        "--schedules", type=int, nargs="+", default=[10_000, 100_000], help="due in the storm"
    )
    parser.add_argument("--runs", type=int, default=5000, help="echo runs, and no-ops")
    parser.add_argument("--items", type=int, default=10_000, help="of a batch run to its end")
    parser.add_argument("--rounds", type=int, default=2, help="of echo runs and no-ops")
    parser.add_argument("--threads", type=int, default=8, help="of a worker")
    parser.add_argument("--seconds", type=int, default=30, help="of a steady load of schedules")
    parser.add_argument("--kills", type=int, default=5, help="of workers, to recover from each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
