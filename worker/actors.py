"""Dramatiq's way in."""

from collections.abc import Callable
from uuid import UUID

import dramatiq
from dramatiq import Broker

from shared.messages import EXECUTE_RUN, RUNS_QUEUE


def declare(broker: Broker, execute: Callable[[UUID], None]) -> None:
    """Have *broker* call *execute* with the id of each run that is dispatched."""

    @dramatiq.actor(broker=broker, actor_name=EXECUTE_RUN, queue_name=RUNS_QUEUE)
    def execute_run(run_id: str) -> None:
        """Execute a run. Safe to deliver twice: only one delivery can claim it."""
        execute(UUID(run_id))
