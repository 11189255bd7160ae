"""What agents that converse keep: the state that a run goes on from, and what sessions remember.

Both are texts that only their kind can read, kept compressed.
"""

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared import db, kinds, templates
from shared.attempts import NOTHING, Claimed, Lease, Usage
from shared.models import Run, RunState, Schedule, Session
from shared.states import COMPLETED, SessionPolicy
from shared.templates import Places

#: Characters of a state, or of a history, at most.
MOST_KEPT = 4 * 1024 * 1024
#: What is raised for a state or a history that is none, or not whole.
UNREADABLE = (zlib.error, ValueError)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a run can know of earlier attempts, of people, and of earlier runs."""

    kept: str | None = None
    #: By the id of what was asked: `{"approved": …, "says": …}`.
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: None: nothing is remembered in its session.
    history: str | None = None
    #: None: it is of no schedule, so there is nothing to be filled in.
    places: Places | None = None


def recalls(run: Claimed) -> bool:
    """Whether there is anything to be recalled for *run*."""
    return (
        kinds.converses(run.kind)
        or run.session_policy is SessionPolicy.LAST_OUTPUT
        or (run.schedule_id is not None and templates.has_places(run.message))
    )


def recall(claimed: Collection[Claimed]) -> dict[UUID, Memory]:
    """What each of those runs can know."""
    run_ids = [run.id for run in claimed]
    kept = RunState.select().where(RunState.run.in_(run_ids))
    states = {each.run_id: each for each in kept}
    answers = {
        run.id: run.answers for run in Run.select(Run.id, Run.answers).where(Run.id.in_(run_ids))
    }
    remembering = [run.session_id for run in claimed if remembers(run)]
    sessions = {
        (each.id, each.agent_id): unpacked(each.history)
        for each in Session.select().where(Session.id.in_(remembering))
    }
    of_schedules = {run.schedule_id for run in claimed if run.schedule_id is not None}
    schedules = {
        each.id: each
        for each in Schedule.select(Schedule.id, Schedule.name, Schedule.timezone).where(
            Schedule.id.in_(of_schedules)
        )
    }
    return {
        run.id: Memory(
            kept=unpacked(states[run.id].state) if run.id in states else None,
            answers=_answers(states.get(run.id), answers[run.id]),
            history=sessions.get((run.session_id, run.agent_id), "") if remembers(run) else None,
            places=_places(run, schedules),
        )
        for run in claimed
    }


def _answers(state: RunState | None, given: dict[str, Any] | None) -> dict[str, Any]:
    """The answers that were *given*, if we go on from where they were asked for.

    Once an attempt has gone on from there, another call could have the id of one that was approved.
    """
    if given is None or (state is not None and state.attempt > given["attempt"]):
        return {}
    calls: dict[str, Any] = given["calls"]
    return calls


def _places(run: Claimed, schedules: Mapping[UUID, Schedule]) -> Places | None:
    if run.schedule_id is None:
        return None
    schedule = schedules[run.schedule_id]
    return Places(
        run_id=run.id,
        scheduled_for=run.scheduled_for,
        previous_success=run.previous_success,
        last_output=_last_output(run) if _wants_it(run) else None,
        schedule=schedule.name,
        timezone=schedule.timezone,
    )


def remembers(run: Claimed) -> bool:
    """Whether its session is to have another run: not a fresh one, nor that of a batch's item."""
    if run.schedule_id is None:
        return run.batch_id is None
    return run.session_policy is SessionPolicy.SHARED


def _wants_it(run: Claimed) -> bool:
    return run.session_policy is SessionPolicy.LAST_OUTPUT or "lastOutput" in run.message


def _last_output(run: Claimed) -> str | None:
    """What the last completed run answered, among the hundred before."""
    before = (
        Run.select(Run.id, Run.status)
        .where(Run.schedule == run.schedule_id, Run.id < run.id)
        .order_by(Run.id.desc())
        .limit(100)
    )
    completed = [each.id for each in before if each.status is COMPLETED]
    if not completed:
        return None
    content: str | None = Run.select(Run.content).where(Run.id == completed[0]).get().content
    return content


def keep(held: Lease, state: str, used: Usage = NOTHING) -> None:
    """Keep *state* for the next attempt, unless the run has been taken from its owner.

    *used* is what the attempt had used up by then.
    """
    db.execute(
        f"""
        INSERT INTO run_state (run_id, attempt, state, used)
        SELECT run.id, run.attempt, :state, {db.json_bound("used")} FROM run
        WHERE run.id = :run_id AND run.attempt = :attempt AND run.finished_at IS NULL
        ON CONFLICT (run_id) DO UPDATE
          SET attempt = excluded.attempt, state = excluded.state, used = excluded.used
        WHERE run_state.attempt <= excluded.attempt
        """,
        {
            "run_id": held.run_id.hex,
            "attempt": held.attempt,
            "state": packed(state),
            # With its attempt, for the release before keeps a state and leaves what was used. Money
            # as a text, or it would be counted in binary fractions.
            "used": json.dumps({"attempt": held.attempt, **used.known()}, default=str),
        },
    )


def used_by(lost: Collection[Lease]) -> dict[Lease, Usage]:
    """What those attempts had used up when they last kept something, as far as they have."""
    run_ids = [held.run_id for held in lost]
    states = RunState.select(RunState.run, RunState.used).where(RunState.run.in_(run_ids))
    found = {
        Lease(each.run_id, each.used["attempt"]): _usage(each.used) for each in states if each.used
    }
    return {held: used for held, used in found.items() if held in lost}


def _usage(known: Mapping[str, Any]) -> Usage:
    amounts: dict[str, Any] = {
        name: Decimal(each) if isinstance(each, str) else each
        for name, each in known.items()
        # The release after may know of more.
        if name in _AMOUNTS
    }
    return Usage(**amounts)


_AMOUNTS = {each.name for each in fields(Usage)}


def forget(run_ids: Iterable[UUID]) -> None:
    """Drop what those runs have kept: they have ended."""
    RunState.delete().where(RunState.run.in_(list(run_ids))).execute()


def remember(run: Claimed, history: str, *, recalled: bool, now: datetime) -> None:
    """Have the session of *run* remember *history*; what was said there before is in it.

    If something was *recalled* and the session is gone, somebody has deleted it meanwhile, and
    what was said there does not come back.
    """
    db.execute(
        _GO_ON if recalled else _BEGIN,
        {
            "id": run.session_id.hex,
            "agent_id": run.agent_id,
            "schedule_id": run.schedule_id and run.schedule_id.hex,
            "history": packed(history),
            "size": len(history),
            "now": db.stamp(now),
        },
    )


_GO_ON = """
    UPDATE session SET history = :history, size = :size, turns = turns + 1, updated_at = :now
    WHERE id = :id AND agent_id = :agent_id
"""
_BEGIN = """
    INSERT INTO session (id, agent_id, schedule_id, history, size, turns, created_at, updated_at)
    VALUES (:id, :agent_id, :schedule_id, :history, :size, 1, :now, :now)
    ON CONFLICT (id) DO UPDATE SET history = excluded.history, size = excluded.size,
      turns = session.turns + 1, updated_at = excluded.updated_at
    WHERE session.agent_id = excluded.agent_id
"""


def packed(text: str) -> bytes:
    """*text* as it is kept."""
    return zlib.compress(text.encode())


def unpacked(data: bytes | memoryview) -> str:
    """The text that was kept as *data*. Raises one of `UNREADABLE`."""
    return zlib.decompress(data).decode()
