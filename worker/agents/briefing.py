"""What an agent outside this process is told about its attempt."""

from collections.abc import Mapping
from datetime import datetime

from worker.agents.protocol import Context


def as_json(context: Context) -> dict[str, str | int | None]:
    """For a request's body and a function's second argument; the wire's names."""
    return {
        "runId": str(context.run_id),
        "agentId": context.agent_id,
        "scheduleId": None if context.schedule_id is None else str(context.schedule_id),
        "attempt": context.attempt,
        "scheduledFor": _instant(context.scheduled_for),
        "deadline": _instant(context.deadline),
        "previousSuccess": _instant(context.previous_success),
    }


def as_environment(context: Context) -> Mapping[str, str]:
    """For a program; what is not known is not set."""
    told = {
        "AGENT_RUN_ID": str(context.run_id),
        "AGENT_ID": context.agent_id,
        "AGENT_SCHEDULE_ID": None if context.schedule_id is None else str(context.schedule_id),
        "AGENT_ATTEMPT": str(context.attempt),
        "AGENT_SCHEDULED_FOR": _instant(context.scheduled_for),
        "AGENT_DEADLINE": _instant(context.deadline),
        "AGENT_PREVIOUS_SUCCESS": _instant(context.previous_success),
    }
    return {name: value for name, value in told.items() if value is not None}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
