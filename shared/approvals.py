"""What paused runs ask of people, and what becomes of the answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import db, runs
from shared.errors import Conflict, Invalid
from shared.models import Run
from shared.states import PAUSED


def answer(run_id: UUID, given: Mapping[str, Any], *, now: datetime) -> None:
    """Have a paused run go on with what was *given*; every call that it asks for is answered.

    *given* has `answers`, a list with `id`, `approved` and `says`, and may have `approved` and
    `says` for the other calls. Raises `NotFound`, `Conflict` if it is not paused or its time is
    up, or `Invalid`.
    """
    with db.transaction():
        run = _locked(run_id)
        if run.answer_by is not None and run.answer_by <= now:
            raise Conflict(f"Run {run_id} waited to be answered until {run.answer_by}: too late.")
        calls = _answers(run.asks or [], given)
        answers = {"attempt": run.attempt, "calls": calls} if calls else None
        runs.resume(run_id, answers, now=now)


def _locked(run_id: UUID) -> Run:
    query = Run.select().where(Run.id == run_id)
    if not db.is_sqlite():
        query = query.for_update("FOR NO KEY UPDATE")  # type: ignore[arg-type] # the stub says bool
    run: Run = query.get_or_none() or runs.get(run_id)
    if run.status is not PAUSED:
        raise Conflict(f"Run {run_id} is not paused but {run.status}.")
    return run


def _answers(asks: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    named = {each["id"]: each for each in given["answers"]}
    unknown = named.keys() - {ask["id"] for ask in asks}
    if unknown:
        raise Invalid({"answers": [f"The run asks for no call {min(unknown)!r}."]})
    if not asks and given.get("approved") is False:
        raise Invalid({"approved": ["The run asks for no call; to end it, cancel it."]})
    if "approved" in given:
        others = {"approved": given["approved"], "says": given.get("says")}
    else:
        others = None
    open_calls = [ask for ask in asks if ask["id"] not in named and others is None]
    if open_calls:
        calls = ", ".join(f"{ask['id']} ({ask['tool']})" for ask in open_calls)
        raise Invalid({"approved": [f"Say true or false; or in `answers`, what of {calls}."]})
    return {
        ask["id"]: {name: (named.get(ask["id"]) or others or {}).get(name) for name in _SAID}
        for ask in asks
    }


_SAID = ("approved", "says")
