"""What agents do in tests of what runs them, and how a worker is set that does."""

from collections.abc import Callable
from datetime import timedelta

from shared.settings import Settings
from worker.agents.protocol import Context, Result, Stopped

SETTINGS = Settings(
    run_lease=timedelta(seconds=2),
    heartbeat_interval=timedelta(milliseconds=50),
    output_limit=1024,
    secrets={"KEY": "hunter2-hunter2"},
)


def fails(error: Exception) -> Callable[[str, Context], Result]:
    """An agent that raises *error*."""

    def do(message: str, context: Context) -> Result:
        raise error

    return do


def until_stopped(message: str, context: Context) -> Result:
    """An agent that works until it is told to stop."""
    context.stop.wait(10)
    raise Stopped
