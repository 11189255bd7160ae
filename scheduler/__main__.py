"""`python -m scheduler`: start, loop, stop."""

from scheduler.loop import Scheduler
from shared import db, log, settings
from shared.migrations import require_current
from shared.process import StopFlag, run


def main() -> int:
    """Run a scheduler until SIGTERM or SIGINT."""
    configured = settings.load()
    log.setup(configured.log_level)
    require_current(
        db.connect(configured.database_url, connections=configured.database_connections)
    )
    with StopFlag() as stop:
        Scheduler(configured).run(stop)
    return 0


if __name__ == "__main__":
    run(main)
