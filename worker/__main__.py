"""`python -m worker`: start, consume, drain."""

from shared import db, log, settings
from shared.migrations import require_current
from shared.process import StopFlag, run
from worker.process import WorkerProcess


def main() -> int:
    """Run a worker until SIGTERM or SIGINT."""
    configured = settings.load()
    log.setup(configured.log_level)
    require_current(
        db.connect(configured.database_url, connections=configured.database_connections)
    )
    with StopFlag() as stop:
        return WorkerProcess(configured).run(stop)


if __name__ == "__main__":
    run(main)
