"""Runs that ask people: paused, answered, given up."""

from datetime import timedelta

import pytest
from factories import LEASE, MINUTE, NOON, held, make_run, make_schedule, settle, status_of

from shared import approvals, db, runs
from shared.attempts import Lease, Outcome, Usage
from shared.errors import Conflict, Invalid, NotFound
from shared.ids import uuid7
from shared.models import Run, RunEvent
from shared.states import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    SKIPPED,
    ErrorCode,
    Overlap,
    Trigger,
)

pytestmark = pytest.mark.usefixtures("database")

HOUR = timedelta(hours=1)
REFUND = {"id": "call_1", "tool": "refund", "arguments": {"usd": 5}}
MAIL = {"id": "call_2", "tool": "mail", "arguments": {}}
YES, NO = {"approved": True, "says": None}, {"approved": False, "says": None}


def pause(run, *, asks=(REFUND, MAIL), wait=HOUR, **values):
    return runs.pause(held(run), asks, **{"wait": wait, "now": NOON} | values)


def make_paused(**values):
    run = make_run(leased_by="worker-1")
    assert pause(run, **values)
    return run


def answer(run, *, now=NOON, answers=(), **given):
    approvals.answer(run.id, {"answers": list(answers), **given}, now=now)


def claim(run):
    Run.update(dispatches=1).where(Run.id == run.id).execute()
    return next(iter(runs.claim([run.id], "worker-2", lease=LEASE, now=NOON)), None)


def test_a_paused_run_is_nobody_s_and_keeps_what_it_asks():
    run = make_run(leased_by="worker-1")

    assert pause(run)

    after = runs.get(run.id)
    assert (after.status, after.leased_by, after.lease_until) == (PAUSED, None, None)
    assert after.asks == [REFUND, MAIL]
    assert (after.answers, after.answer_by) == (None, NOON + HOUR)
    (event,) = RunEvent.select().where(RunEvent.run == run.id)
    assert (event.type, event.attempt, event.data) == (
        "approval_asked",
        1,
        {"asks": [REFUND, MAIL]},
    )


def test_who_may_wait_for_ever_does():
    run = make_paused(wait=None)

    assert runs.get(run.id).answer_by is None
    assert runs.expire(NOON + timedelta(days=3650)) == []


def test_who_has_lost_the_run_cannot_pause_it():
    run = make_run(leased_by="worker-1", attempt=2)

    assert not runs.pause(Lease(run.id, 1), [REFUND], wait=None, now=NOON)

    after = runs.get(run.id)
    assert (after.status, after.asks) == (RUNNING, None)
    assert not RunEvent.select().exists()


def test_a_run_that_is_to_be_cancelled_does_not_pause():
    run = make_run(leased_by="worker-1", cancel_requested_at=NOON)

    assert not pause(run)

    assert status_of(run.id) is RUNNING


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        ({"approved": True}, {"call_1": YES, "call_2": YES}),
        ({"approved": False}, {"call_1": NO, "call_2": NO}),
        (
            {"approved": False, "says": "Not on Mondays."},
            {name: NO | {"says": "Not on Mondays."} for name in ("call_1", "call_2")},
        ),
        (
            {"approved": True, "answers": [{"id": "call_2", "approved": False, "says": "No."}]},
            {"call_1": YES, "call_2": {"approved": False, "says": "No."}},
        ),
        (
            {"answers": [{"id": "call_1", **YES}, {"id": "call_2", **NO}]},
            {"call_1": YES, "call_2": NO},
        ),
    ],
)
def test_every_call_that_it_asks_for_is_answered(given, answers):
    run = make_paused()

    answer(run, **given)

    after = runs.get(run.id)
    assert (after.status, after.answers["calls"]) == (QUEUED, answers)
    assert (after.asks, after.answer_by, after.error) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({}, "approved", "what of call_1 (refund), call_2 (mail)."),
        ({"says": "Well."}, "approved", "what of call_1 (refund), call_2 (mail)."),
        ({"answers": [{"id": "call_1", **YES}]}, "approved", "what of call_2 (mail)."),
        ({"answers": [{"id": "call_3", **YES}]}, "answers", "asks for no call 'call_3'."),
        (
            {"approved": True, "answers": [{"id": "call_3", **YES}]},
            "answers",
            "asks for no call 'call_3'.",
        ),
    ],
)
def test_what_answers_not_all_or_too_much_changes_nothing(given, field, says):
    run = make_paused()

    with pytest.raises(Invalid) as raised:
        answer(run, **given)

    (sentence,) = raised.value.fields[field]
    assert sentence.endswith(says)
    after = runs.get(run.id)
    assert (after.status, after.asks, after.answers) == (PAUSED, [REFUND, MAIL], None)


def test_it_is_answered_once():
    run = make_paused()
    answer(run, approved=True)

    with pytest.raises(Conflict, match="not paused but QUEUED"):
        answer(run, approved=False)

    assert runs.get(run.id).answers["calls"]["call_1"] == YES


@pytest.mark.parametrize("status", sorted({*ENDED, QUEUED} - {CANCELLED}))
def test_what_is_not_paused_takes_no_answer(status):
    gap = {"missed_count": 1} if status == "MISSED" else {}
    ended = {"finished_at": NOON} if status in ENDED else {}
    run = make_run(status=status, **ended, **gap)

    with pytest.raises(Conflict, match=f"not paused but {status}"):
        answer(run, approved=True)


def test_what_there_is_not_takes_no_answer():
    with pytest.raises(NotFound):
        approvals.answer(uuid7(NOON), {"answers": []}, now=NOON)


def test_a_paused_run_is_cancelled_at_once_and_asks_no_more():
    run = make_paused()

    runs.cancel(run.id, now=NOON + MINUTE)

    after = runs.get(run.id)
    assert (after.status, after.finished_at) == (CANCELLED, NOON + MINUTE)
    assert (after.asks, after.answer_by) == (None, None)
    with pytest.raises(Conflict, match="not paused but CANCELLED"):
        answer(run, approved=True)
    assert runs.expire(NOON + HOUR) == []


def test_whom_nobody_answers_fails_on_the_second():
    run = make_paused()
    other = make_paused(wait=2 * HOUR)

    assert runs.expire(NOON + HOUR - timedelta(microseconds=1)) == []
    assert runs.expire(NOON + HOUR) == [run.id]

    after = runs.get(run.id)
    assert (after.status, after.finished_at) == (FAILED, NOON + HOUR)
    assert after.error == {
        "code": ErrorCode.APPROVAL_EXPIRED,
        "message": "Nobody answered in time what its agent asked.",
    }
    assert (after.asks, after.answer_by) == (None, None)
    assert status_of(other.id) is PAUSED
    assert runs.expire(NOON + HOUR) == []


def test_an_answer_in_the_last_second_counts_and_a_later_one_does_not():
    run, late = make_paused(), make_paused()

    answer(run, approved=True, now=NOON + HOUR - timedelta(seconds=1))
    with pytest.raises(Conflict, match="too late"):
        answer(late, approved=True, now=NOON + HOUR)

    assert (status_of(run.id), status_of(late.id)) == (QUEUED, PAUSED)
    assert runs.expire(NOON + HOUR) == [late.id]


def test_who_goes_on_spends_no_attempt_and_is_told_the_answers():
    run = make_paused()
    Run.update(max_attempts=1).execute()
    answer(run, approved=True)

    again = claim(run)

    assert (again.attempt, again.uncounted) == (2, 1)
    assert runs.get(run.id).answers["calls"] == {"call_1": YES, "call_2": YES}


def test_asking_again_forgets_the_answers_to_what_was_asked_before():
    run = make_paused()
    answer(run, approved=True)
    again = claim(run)

    assert runs.pause(Lease(run.id, again.attempt), [MAIL], wait=None, now=NOON)

    after = runs.get(run.id)
    assert (after.asks, after.answers, after.answer_by) == ([MAIL], None, None)


def test_what_was_used_before_it_paused_counts():
    run = make_paused(usage=Usage(input_tokens=10, tool_calls=1))
    answer(run, approved=True)
    again = Lease(run.id, claim(run).attempt)

    runs.finish({again: Outcome(status=COMPLETED, usage=Usage(input_tokens=5))}, now=NOON)

    after = runs.get(run.id)
    assert (after.input_tokens, after.tool_calls, after.output_tokens) == (15, 1, None)


def test_who_waits_for_money_asks_for_no_call():
    run = make_run(status=PAUSED)

    with pytest.raises(Invalid, match="cancel it"):
        answer(run, approved=False)
    assert status_of(run.id) is PAUSED

    answer(run)
    assert status_of(run.id) is QUEUED


def test_one_answer_of_two_at_once_counts(at_once):
    run = make_paused()

    def say(approved):
        try:
            answer(run, approved=approved)
        except Conflict:
            return None
        return approved

    said = at_once(lambda: say(True), lambda: say(False))

    (counted,) = [each for each in said if each is not None]
    assert runs.get(run.id).answers["calls"]["call_1"]["approved"] is counted


@pytest.mark.parametrize(("paused_overlaps", "status"), [(False, QUEUED), (True, SKIPPED)])
def test_who_waits_for_a_person_holds_its_schedule_up_only_if_that_wants_it(
    paused_overlaps, status
):
    schedule = make_schedule(overlap_policy=Overlap.SKIP, paused_overlaps=paused_overlaps)
    run = make_run(
        leased_by="worker-1", schedule=schedule, trigger=Trigger.SCHEDULE, id=uuid7(NOON - MINUTE)
    )
    assert pause(run)

    with db.transaction():
        settle(NOON)

    (fired,) = Run.select().where(Run.scheduled_for == NOON)
    assert fired.status is status


def test_once_it_goes_on_it_overlaps_again():
    schedule = make_schedule(overlap_policy=Overlap.SKIP)
    run = make_run(
        leased_by="worker-1", schedule=schedule, trigger=Trigger.SCHEDULE, id=uuid7(NOON - MINUTE)
    )
    assert pause(run)
    answer(run, approved=True)

    with db.transaction():
        settle(NOON)

    (fired,) = Run.select().where(Run.scheduled_for == NOON)
    assert (fired.status, fired.error["code"]) == (SKIPPED, "OVERLAP")
