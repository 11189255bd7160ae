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

    *given* has `answers`, a list with `id`, and `approved` and `says` where they are said; it may
    have these two for the other calls. Raises `NotFound`, `Conflict` if it is not paused or its
    time is up, or `Invalid`.
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
    """What was answered to each of the *asks*, by its id."""
    named = {each["id"]: each for each in given["answers"]}
    if len(named) < len(given["answers"]):
        raise Invalid({"answers": ["Answer each call once."]})
    unknown = named.keys() - {ask["id"] for ask in asks}
    if unknown:
        raise Invalid({"answers": [f"The run asks for no call {min(unknown)!r}."]})
    if not asks and given.get("approved") is False:
        raise Invalid({"approved": ["The run asks for no call; to end it, cancel it."]})
    unnamed = [ask for ask in asks if _is_question(ask) and ask["id"] not in named]
    if len(unnamed) > 1 and given.get("approved") is not False:
        raise Invalid({"says": [f"Answer each question in `answers`: {_listed(unnamed)}."]})
    answers = {ask["id"]: _answer(ask, named.get(ask["id"], given)) for ask in asks}
    unanswered = [ask for ask in asks if answers[ask["id"]] is None]
    if half := [ask for ask in unanswered if ask["id"] in named]:
        raise Invalid(
            {
                "answers": [
                    f"Say true or false as `approved`, or what you answer, of {_listed(half)}."
                ]
            }
        )
    if questions := [ask for ask in unanswered if _is_question(ask)]:
        raise Invalid({"says": [f"Say the answer; or in `answers`, that to {_listed(questions)}."]})
    if unanswered:
        raise Invalid(
            {"approved": [f"Say true or false; or in `answers`, what of {_listed(unanswered)}."]}
        )
    return answers


def _answer(ask: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was *given* as the answer to *ask*, if that is one."""
    approved, says = given.get("approved"), given.get("says")
    if _is_question(ask) and approved is not False:
        # Nothing but an answer will do.
        approved = None if says is None else True
    return None if approved is None else {"approved": approved, "says": says}


def _is_question(ask: Mapping[str, Any]) -> bool:
    return ask.get("question") is not None


def _listed(asks: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{ask['id']} ({ask['tool']})" for ask in asks)
