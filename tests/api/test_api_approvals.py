"""What people say to runs that ask them, over HTTP."""

from datetime import timedelta

import pytest
from factories import MINUTE, NOON, held, make_run

from shared import runs
from shared.models import Run
from shared.states import QUEUED, RUNNING

REFUND = {"id": "call_1", "tool": "refund", "arguments": {"usd": 5}, "question": None}
MAIL = {"id": "call_2", "tool": "mail", "arguments": {}, "question": None}
WHICH = {"id": "call_3", "tool": "ask_person", "arguments": {}, "question": "Which customer?"}


@pytest.fixture
def paused(app):
    """A run that asks for two calls, for an hour."""
    run = make_run(leased_by="worker-1")
    assert runs.pause(held(run), [REFUND, MAIL], wait=timedelta(hours=1), now=NOON)
    return run


def test_a_paused_run_shows_what_it_asks_and_until_when(viewer, paused):
    shown = viewer.get(f"/runs/{paused.id}").json

    assert (shown["status"], shown["asks"]) == ("PAUSED", [REFUND, MAIL])
    assert shown["answerBy"] == "2026-11-22T13:00:00Z"
    assert viewer.get("/runs?status=PAUSED").json["totalElements"] == 1


@pytest.mark.parametrize(
    ("body", "approved"),
    [
        ({"approved": True}, [True, True]),
        ({"approved": False, "says": "Not today."}, [False, False]),
        ({"approved": False, "answers": [{"id": "call_1", "approved": True}]}, [True, False]),
    ],
)
def test_what_was_answered_lets_it_go_on(operator, paused, body, approved):
    response = operator.post(f"/runs/{paused.id}/continue", body)

    assert (response.status_code, response.json["status"]) == (200, "QUEUED")
    assert (response.json["asks"], response.json["answerBy"]) == (None, None)
    answers = runs.get(paused.id).answers["calls"]
    assert [answers[each]["approved"] for each in ("call_1", "call_2")] == approved


@pytest.fixture
def asked(app):
    """A run that asks for a call, and a question."""
    run = make_run(leased_by="worker-1")
    assert runs.pause(held(run), [REFUND, WHICH], wait=None, now=NOON)
    return run


@pytest.mark.parametrize(
    ("body", "refund", "which"),
    [
        ({"approved": True, "says": "4711"}, (True, "4711"), (True, "4711")),
        ({"approved": False, "says": "No."}, (False, "No."), (False, "No.")),
        (
            {"approved": False, "answers": [{"id": "call_3", "says": "4711"}]},
            (False, None),
            (True, "4711"),
        ),
        (
            {"says": "4711", "answers": [{"id": "call_1", "approved": True}]},
            (True, None),
            (True, "4711"),
        ),
        (
            {"approved": True, "answers": [{"id": "call_3", "approved": False}]},
            (True, None),
            (False, None),
        ),
    ],
)
def test_a_question_is_answered_by_what_is_said(operator, asked, body, refund, which):
    assert operator.post(f"/runs/{asked.id}/continue", body).status_code == 200

    answers = runs.get(asked.id).answers["calls"]
    said = [(answers[id]["approved"], answers[id]["says"]) for id in ("call_1", "call_3")]
    assert said == [refund, which]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"approved": True}, "says", "call_3 (ask_person)"),
        ({"says": "4711"}, "approved", "call_1 (refund)"),
        ({"approved": True, "answers": [{"id": "call_3", "approved": True}]}, "answers", "call_3"),
    ],
)
def test_a_question_is_not_answered_by_a_yes(operator, asked, body, field, says):
    response = operator.post(f"/runs/{asked.id}/continue", body)

    assert response.status_code == 422
    assert says in response.json["errors"][field][0]
    assert runs.get(asked.id).asks == [REFUND, WHICH]


def test_one_answer_is_not_that_to_two_questions(operator, app):
    run = make_run(leased_by="worker-1")
    assert runs.pause(held(run), [WHICH, WHICH | {"id": "call_4"}], wait=None, now=NOON)

    refused = operator.post(f"/runs/{run.id}/continue", {"says": "4711"})
    answers = [{"id": id, "says": id} for id in ("call_3", "call_4")]
    taken = operator.post(f"/runs/{run.id}/continue", {"answers": answers})

    assert (refused.status_code, taken.status_code) == (422, 200)
    assert "call_3 (ask_person), call_4 (ask_person)" in refused.json["errors"]["says"][0]


def test_it_is_sent_to_a_worker_at_once(operator, paused):
    operator.post(f"/runs/{paused.id}/continue", {"approved": True})

    after = runs.get(paused.id)
    assert (after.status, after.dispatches) == (QUEUED, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "approved"),
        ({}, "approved"),
        ({"approved": None}, "approved"),
        ({"approved": "maybe"}, "approved"),
        ({"approve": True}, "approve"),
        ({"answers": [{"id": "call_1", "approved": True}]}, "approved"),
        ({"approved": True, "answers": [{"id": "call_9", "approved": True}]}, "answers"),
        ({"answers": [{"id": "call_1"}]}, "answers"),
        ({"approved": True, "answers": [{"id": "call_1", "says": "Fine."}]}, "answers"),
        (
            {"answers": [{"id": id, "approved": True} for id in ("call_1", "call_1", "call_2")]},
            "answers",
        ),
        ({"answers": [{"approved": True}]}, "answers"),
        ({"answers": "yes"}, "answers"),
        ({"answers": [{"id": "call_1", "approved": True}] * 101}, "answers"),
        ({"approved": False, "says": "x" * 4001}, "says"),
        ({"approved": False, "says": "a\0b"}, "says"),
    ],
)
def test_what_does_not_answer_is_refused_and_changes_nothing(operator, paused, body, field):
    response = operator.post(f"/runs/{paused.id}/continue", body)

    assert response.status_code == 422
    assert any(name.split(".")[0] == field for name in response.json["errors"])
    assert runs.get(paused.id).asks == [REFUND, MAIL]


def test_a_second_answer_is_refused(operator, paused):
    operator.post(f"/runs/{paused.id}/continue", {"approved": True})

    again = operator.post(f"/runs/{paused.id}/continue", {"approved": False})

    assert again.status_code == 409
    assert "not paused but QUEUED" in again.json["detail"]


def test_a_late_answer_is_refused(operator, paused):
    Run.update(answer_by=NOON).execute()

    late = operator.post(f"/runs/{paused.id}/continue", {"approved": True})

    assert late.status_code == 409
    assert "too late" in late.json["detail"]


def test_who_was_cancelled_goes_on_no_more(operator, paused):
    cancelled = operator.post(f"/runs/{paused.id}/cancel").json

    response = operator.post(f"/runs/{paused.id}/continue", {"approved": True})

    assert (cancelled["status"], cancelled["asks"]) == ("CANCELLED", None)
    assert response.status_code == 409


def test_who_runs_takes_no_answer(operator, app):
    run = make_run(leased_by="worker-1", cancel_requested_at=NOON)

    assert operator.post(f"/runs/{run.id}/continue", {"approved": True}).status_code == 409
    assert runs.get(run.id).status is RUNNING


def test_who_may_only_read_may_not_answer(viewer, paused):
    assert viewer.post(f"/runs/{paused.id}/continue", {"approved": True}).status_code == 403


@pytest.mark.parametrize("approved", [True, False])
def test_who_said_what_is_on_record(operator, admin, paused, approved):
    body = {"approved": approved, "says": "Well.", "answers": []}

    operator.post(f"/runs/{paused.id}/continue", body)

    (event,) = admin.get("/audit?action=run.continue").json["content"]
    assert (event["actor"], event["resourceId"]) == ("operator", str(paused.id))
    assert event["changes"] == {
        "approved": {"from": None, "to": approved},
        "says": {"from": None, "to": "Well."},
    }


def test_what_it_asked_stays_among_its_events(operator, paused):
    operator.post(f"/runs/{paused.id}/continue", {"approved": True})
    runs.claim([paused.id], "worker-2", lease=MINUTE, now=NOON)

    (event,) = operator.get(f"/runs/{paused.id}/events").json["content"]

    assert (event["type"], event["data"]) == ("approval_asked", {"asks": [REFUND, MAIL]})
