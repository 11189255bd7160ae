"""What schedules say of runs that nobody watches: their messages, their memory, and approval."""

import pytest
from clients import DOCUMENTED
from factories import NOON

from shared.models import Run

DEFAULTS = {
    "sessionPolicy": "FRESH",
    "approvalPolicy": "WAIT",
    "approvalWaitSeconds": None,
    "pausedOverlaps": False,
}
OTHERS = {
    "sessionPolicy": "SHARED",
    "approvalPolicy": "DENY",
    "approvalWaitSeconds": 3600,
    "pausedOverlaps": True,
}


def test_a_schedule_that_says_nothing_has_its_runs_begin_fresh_and_wait(operator, finance_agent):
    shown = operator.post("/schedules", DOCUMENTED).json

    assert {name: shown[name] for name in DEFAULTS} == DEFAULTS


def test_what_it_says_is_kept_changed_and_reset(operator, schedule_id):
    path = f"/schedules/{schedule_id}"
    changed = operator.patch(path, OTHERS).json
    replaced = operator.put(path, DOCUMENTED).json
    reset = operator.patch(path, {"approvalWaitSeconds": None}).json

    assert {name: changed[name] for name in OTHERS} == OTHERS
    assert {name: replaced[name] for name in OTHERS} == OTHERS
    assert {name: reset[name] for name in OTHERS} == OTHERS | {"approvalWaitSeconds": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sessionPolicy", "OLD"),
        ("approvalPolicy", "ASK"),
        ("approvalWaitSeconds", 0),
        ("approvalWaitSeconds", 31_536_001),
        ("approvalWaitSeconds", 1.5),
        ("pausedOverlaps", "perhaps"),
    ],
)
def test_what_makes_no_sense_is_refused(operator, schedule_id, field, value):
    refused = operator.patch(f"/schedules/{schedule_id}", {field: value})

    assert refused.status_code == 422
    assert field in refused.json["errors"]


def test_a_run_is_told_what_its_schedule_says(operator, schedule_id):
    operator.patch(f"/schedules/{schedule_id}", OTHERS)

    run_id = operator.post(f"/schedules/{schedule_id}/trigger").json["runId"]

    run = Run.get_by_id(run_id)
    assert (run.session_policy, run.approval_policy) == ("SHARED", "DENY")
    assert (run.approval_wait_seconds, str(run.session_id)) == (3600, schedule_id)
    assert operator.get(f"/runs/{run_id}").json["sessionId"] == schedule_id


SOUND = "On {{ scheduledFor.date }}: {{ lastOutput }}"


@pytest.mark.parametrize("message", ["{{ weather }}", "{{ run.id", "{{}}"])
def test_a_place_that_cannot_be_filled_in_is_refused_wherever_a_schedule_is_saved(
    operator, schedule_id, message
):
    path = f"/schedules/{schedule_id}"
    order = {**DOCUMENTED, "message": message}

    refused = [
        operator.post("/schedules", order),
        operator.put(path, order),
        operator.patch(path, {"message": message}),
    ]

    assert [each.status_code for each in refused] == [422, 422, 422]
    assert all("{{" in each.json["errors"]["message"][0] for each in refused)
    assert operator.get(path).json["message"] == DOCUMENTED["message"]


def test_a_place_that_can_be_filled_in_is_saved_as_it_is(operator, schedule_id):
    path = f"/schedules/{schedule_id}"
    order = {**DOCUMENTED, "message": SOUND}

    saved = [
        operator.post("/schedules", order),
        operator.put(path, order),
        operator.patch(path, {"message": f"{SOUND}!"}),
    ]

    assert [each.status_code for each in saved] == [201, 200, 200]
    assert [each.json["message"] for each in saved] == [SOUND, SOUND, f"{SOUND}!"]


@pytest.mark.parametrize("message", ["{{ weather }}", "{{ run.id", SOUND])
def test_what_is_said_on_request_is_taken_as_it_is(operator, schedule_id, finance_agent, message):
    triggered = operator.post(f"/schedules/{schedule_id}/trigger", {"message": message})
    background = operator.post(f"/agents/{finance_agent}/runs/background", {"message": message})
    batch = operator.post(
        "/schedules/batches",
        {"name": "B", "agentId": finance_agent, "items": [{"message": message}]},
    )

    assert [each.status_code for each in (triggered, background, batch)] == [202, 202, 202]
    shown = operator.get(f"/runs/{triggered.json['runId']}").json
    assert (shown["message"], shown["queuedAt"]) == (message, NOON.isoformat()[:-6] + "Z")


def test_a_run_goes_on_with_the_session_that_it_is_given(operator, finance_agent):
    path = f"/agents/{finance_agent}/runs/background"
    first = operator.post(path, {"message": "Hello"}).json["runId"]

    second = operator.post(path, {"message": "And?", "sessionId": first}).json["runId"]

    assert operator.get(f"/runs/{first}").json["sessionId"] == first
    assert operator.get(f"/runs/{second}").json["sessionId"] == first
