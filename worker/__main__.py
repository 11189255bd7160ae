"""`python -m worker`: start, consume, drain."""

from shared.boot import boot
from shared.process import StopFlag, run
from worker.process import WorkerProcess


def main() -> int:
    """Run a worker until SIGTERM or SIGINT."""
    with StopFlag() as stop:
        settings = boot(stop)
        return 0 if settings is None else WorkerProcess(settings).run(stop)


if __name__ == "__main__":
    run(main)
