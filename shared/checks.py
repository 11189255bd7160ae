"""Checks of agents before they are due: what they come to, and where that is kept.

A check is a run that is no work: its worker looks at what the agent needs, and spends nothing
(`worker.agents.checkup`). To workers of a release that knows no checks it is a run of a kind that
they do not have, so that none of them takes it for work.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import db
from shared.attempts import Outcome
from shared.db import stamp
from shared.findings import FAIL, OK, WARN, Finding
from shared.listing import Spelled
from shared.states import COMPLETED, FAILED, CheckStatus, ErrorCode

#: The kind of every check. No entry point can be called so.
KIND = "=check"
#: How long one may take, programs that begin slowly included, and how urgent it is.
SECONDS, PRIORITY = 90, 9
#: The configuration of a check of the agent *a*: what kind of agent that is, and which.
SUBJECT = Spelled(
    "json_object('kind', a.kind, 'config', json(a.config))",
    "jsonb_build_object('kind', a.kind, 'config', a.config)",
)

_SHOWN = {OK: CheckStatus.OK, WARN: CheckStatus.WARNING, FAIL: CheckStatus.FAILED}
_WORST_FIRST = (FAIL, WARN, OK)
_MOST = 200

# What an agent's latest check came to, unless it was saved since; *a* is the agent.
_IS_CURRENT = "a.checked_version = a.version"
STATUS = f"CASE WHEN {_IS_CURRENT} THEN a.check_status END"
#: What a schedule of the agent *a* warns of: the first sentence of a check that failed.
WARNING = Spelled(
    *(
        f"CASE WHEN a.check_status = 'FAILED' AND {_IS_CURRENT}"
        f" THEN 'Its agent failed its check: ' || {first} END"
        for first in (
            "json_extract(a.check_findings, '$[0].message')",
            "(a.check_findings -> 0 ->> 'message')",
        )
    )
)

# A version that was saved meanwhile has its own check.
_RECORD = """
    UPDATE agent SET check_status = :status, check_findings = {findings}, checked_at = :now,
      checked_version = version
    FROM run
    WHERE run.id = :run_id AND agent.id = run.agent_id AND agent.version = run.agent_version
"""


def written(
    findings: Iterable[Finding], shown: Callable[[object], str] = str
) -> list[dict[str, str]]:
    """*findings* as a record has them, the worst first; each has its cure in its message.

    *shown* makes of a text what can be shown of it.
    """
    order = sorted(findings, key=lambda each: _WORST_FIRST.index(each.status))
    return [
        {
            "name": shown(each.name),
            "status": _SHOWN[each.status].value,
            "message": shown(f"{each.says} {each.cure}".strip()),
        }
        for each in order[:_MOST]
    ]


def record(run_id: UUID, outcome: Outcome, *, now: datetime) -> None:
    """Keep what a check came to that has ended with *outcome*, unless its agent was saved since."""
    if outcome.status is COMPLETED:
        findings = json.loads(outcome.content or "[]")
    elif outcome.status is FAILED and outcome.error is not None:
        findings = written([_unfinished(outcome.error)])
    else:
        return
    db.execute(
        _RECORD.format(findings=db.json_bound("findings")),
        {
            "run_id": run_id.hex,
            "status": _worst(findings).value,
            "findings": json.dumps(findings),
            "now": stamp(now),
        },
    )


def _unfinished(error: Mapping[str, str]) -> Finding:
    """The finding of a check that has not come to its end for that *error*."""
    if error["code"] == ErrorCode.WORKER_LOST:
        # That says nothing of the agent.
        return Finding("check", WARN, f"It was not made: {error['message']}", "Check again.")
    return Finding("check", FAIL, error["message"])


def _worst(findings: Sequence[Mapping[str, Any]]) -> CheckStatus:
    # They have it first.
    return CheckStatus(findings[0]["status"]) if findings else CheckStatus.OK
