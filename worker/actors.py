"""Dramatiq's way in."""

from collections.abc import Callable
from uuid import UUID

import dramatiq
from dramatiq import Broker

from shared.messages import EXECUTE_RUN


def declare(broker: Broker, queue: str, execute: Callable[[UUID], None]) -> None:
    """Have *broker* call *execute* with the id of each run that is dispatched to *queue*."""

    @dramatiq.actor(broker=broker, actor_name=EXECUTE_RUN, queue_name=queue)
    def execute_run(run_id: str) -> None:
        """Execute a run. Safe to deliver twice: only one delivery can claim it."""
        execute(UUID(run_id))
