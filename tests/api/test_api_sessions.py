"""/sessions: what is remembered is listed, read and deleted."""

import json
import zlib
from uuid import uuid4

import pytest
from factories import MINUTE, NOON, make_agent, make_schedule

from shared.conversations import packed
from shared.models import Session

SAID = [{"kind": "request", "parts": []}, {"kind": "response", "parts": []}]
HISTORY = json.dumps(SAID)


def make_session(agent="echo", *, history=HISTORY, at=NOON, **values):
    made = {"id": uuid4(), "agent_id": agent, "turns": 2, "size": len(history)}
    instants = {"created_at": at, "updated_at": at}
    return Session.create(history=packed(history), **made | instants | values)


@pytest.fixture
def echo(app):
    """The agent that remembers."""
    return make_agent()


def test_a_session_shows_whose_it_is_and_how_much_it_holds(viewer, echo):
    schedule = make_schedule()
    session = make_session(id=schedule.id, schedule_id=schedule.id, updated_at=NOON + MINUTE)

    assert viewer.get(f"/sessions/{session.id}").json == {
        "id": str(schedule.id),
        "agentId": "echo",
        "scheduleId": str(schedule.id),
        "turns": 2,
        "size": len(HISTORY),
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:01:00Z",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort=createdAt", ["first", "second", "third"]),
        ("sort=createdAt,desc", ["third", "second", "first"]),
        ("sort=size,desc", ["second", "third", "first"]),
        ("agentId=second", ["second"]),
        ("agentId=nobody", []),
        ("sort=createdAt&size=1&page=1", ["second"]),
    ],
)
def test_sessions_are_filtered_sorted_and_paged(viewer, app, query, found):
    for number, (agent, length) in enumerate([("first", 1), ("second", 3), ("third", 2)]):
        make_session(agent, history="x" * length, at=NOON + number * MINUTE)

    shown = viewer.get(f"/sessions?{query}").json["content"]

    assert [each["agentId"] for each in shown] == found


def test_that_of_a_schedule_is_found(viewer, echo):
    schedule = make_schedule()
    make_session()
    make_session(id=schedule.id, schedule_id=schedule.id)

    (shown,) = viewer.get(f"/sessions?scheduleId={schedule.id}").json["content"]

    assert shown["id"] == str(schedule.id)


def test_what_was_said_is_read(viewer, echo):
    session = make_session()

    assert viewer.get(f"/sessions/{session.id}/messages").json == {"messages": SAID}


@pytest.mark.parametrize(
    ("history", "messages"),
    [
        ("", [{"text": ""}]),
        ("So it goes.", [{"text": "So it goes."}]),
        ('{"a": 1}', [{"text": '{"a": 1}'}]),
        ("[]", []),
        ("[" * 100_000, [{"text": "[" * 100_000}]),
    ],
    ids=["nothing", "text", "object", "empty", "deep"],
)
def test_what_a_kind_keeps_in_its_own_way_is_read_as_text(viewer, echo, history, messages):
    session = make_session(history=history)

    assert viewer.get(f"/sessions/{session.id}/messages").json == {"messages": messages}


@pytest.mark.parametrize("kept", [b"no zlib", zlib.compress(b"\xff")], ids=["packed", "text"])
def test_what_cannot_be_read_says_so_and_can_be_deleted(operator, echo, kept):
    session = make_session()
    Session.update(history=kept).execute()

    response = operator.get(f"/sessions/{session.id}/messages")

    assert (response.status_code, "cannot be read" in response.json["detail"]) == (409, True)
    assert operator.delete(f"/sessions/{session.id}").status_code == 204


def test_a_session_is_forgotten(operator, admin, echo):
    session, other = make_session(), make_session()

    assert operator.delete(f"/sessions/{session.id}").status_code == 204

    assert [each.id for each in Session.select()] == [other.id]
    (event,) = admin.get("/audit?action=session.delete").json["content"]
    assert event["resourceId"] == str(session.id)
    assert operator.delete(f"/sessions/{session.id}").status_code == 404


def test_who_may_only_read_forgets_nothing(viewer, echo):
    session = make_session()

    assert viewer.delete(f"/sessions/{session.id}").status_code == 403
    assert Session.select().exists()


@pytest.mark.parametrize("path", ["", "/messages"])
def test_an_unknown_session_is_not_found(viewer, path):
    assert viewer.get(f"/sessions/{uuid4()}{path}").status_code == 404


@pytest.mark.parametrize("query", ["sort=history", "agent=echo", "scheduleId=x", "size=0"])
def test_a_query_that_makes_no_sense_is_refused(viewer, query):
    assert viewer.get(f"/sessions?{query}").status_code == 422
