"""`python -m scheduler`: start, loop, stop."""

from scheduler.loop import Scheduler
from shared.boot import boot
from shared.process import StopFlag, run


def main() -> int:
    """Run a scheduler until SIGTERM or SIGINT."""
    with StopFlag() as stop:
        settings = boot(stop)
        if settings is not None:
            Scheduler(settings).run(stop)
    return 0


if __name__ == "__main__":
    run("scheduler", main)
