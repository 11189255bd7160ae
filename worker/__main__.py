"""`python -m worker`: start, consume, drain."""

from shared.boot import boot
from shared.process import StopFlag, run
from worker import assignment
from worker.process import WorkerProcess


def main() -> int:
    """Run a worker until SIGTERM or SIGINT."""
    with StopFlag() as stop:
        settings = boot(stop)
        if settings is None:
            return 0
        queue = assignment.queue(settings, stop)
        return 0 if queue is None else WorkerProcess(settings, queue).run(stop)


if __name__ == "__main__":
    run("worker", main)
