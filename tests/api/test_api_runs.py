"""/runs: the history, and what can be done about a run."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import MINUTE, NOON, make_agent, make_run, make_schedule

from shared.models import AuditEvent, Run, RunEvent
from shared.states import COMPLETED, FAILED, MISSED, PAUSED, RunStatus, Trigger

KEYS = {
    *("runId", "sessionId", "agentId", "scheduleId", "batchId", "retryOf", "trigger", "status"),
    *(
        "message",
        "content",
        "asks",
        "answerBy",
        "error",
        "scheduledFor",
        "missedUntil",
        "missedCount",
        "queuedAt",
    ),
    *("availableAt", "startedAt", "finishedAt", "cancelRequestedAt", "durationMs", "attempt"),
    *("maxAttempts", "priority", "timeoutSeconds", "workerId", "model", "metrics", "metadata"),
}


@pytest.fixture
def echo(app):
    """The agent whose runs these are."""
    return make_agent()


def test_a_finished_run_shows_what_came_of_it(viewer, echo):
    run = make_run(
        status=COMPLETED,
        attempt=2,
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=1, milliseconds=234),
        content="Größe 🚀",
        model="echo-1",
        input_tokens=5,
        output_tokens=7,
        cost_usd=Decimal("0.0125"),
        metadata={"a": [1, None]},
    )

    shown = viewer.get(f"/runs/{run.id}").json

    assert shown.keys() == KEYS
    assert (
        shown.items()
        >= {
            "runId": str(run.id),
            "status": "COMPLETED",
            "content": "Größe 🚀",
            "error": None,
            "durationMs": 1234,
            "attempt": 2,
            "model": "echo-1",
            "metadata": {"a": [1, None]},
            "finishedAt": "2026-11-22T12:00:01.234Z",
        }.items()
    )
    assert shown["metrics"] == {
        "inputTokens": 5,
        "outputTokens": 7,
        "totalTokens": 12,
        "cacheReadTokens": None,
        "cacheWriteTokens": None,
        "reasoningTokens": None,
        "requests": None,
        "toolCalls": None,
        "costUsd": 0.0125,
        "computeUsd": None,
    }


def test_a_failed_run_shows_its_reason(viewer, echo):
    error = {"code": "AGENT_ERROR", "message": "The agent failed on purpose."}
    run = make_run(status=FAILED, finished_at=NOON, error=error)

    shown = viewer.get(f"/runs/{run.id}").json

    assert (shown["status"], shown["error"], shown["durationMs"]) == ("FAILED", error, None)


def test_a_gap_shows_its_bounds(viewer, echo):
    run = make_run(
        status=MISSED,
        finished_at=NOON,
        scheduled_for=NOON - 9 * MINUTE,
        missed_until=NOON - MINUTE,
        missed_count=9,
    )

    shown = viewer.get(f"/runs/{run.id}").json

    assert shown["scheduledFor"] == "2026-11-22T11:51:00Z"
    assert (shown["missedUntil"], shown["missedCount"]) == ("2026-11-22T11:59:00Z", 9)


def test_a_run_shows_its_worker(viewer, echo):
    run = make_run(worker_id="worker-1")

    assert viewer.get(f"/runs/{run.id}").json["workerId"] == "worker-1"


@pytest.mark.parametrize(
    "path", ["", "/events", "/cancel", "/retry", "/continue"], ids=lambda path: path or "one"
)
def test_an_unknown_run_is_not_found(operator, path):
    method = "GET" if path in {"", "/events"} else "POST"

    assert operator(method, f"/runs/{uuid4()}{path}").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "cba"),
        ("status=FAILED", "c"),
        ("status=FAILED&status=COMPLETED", "cb"),
        ("agentId=other", "c"),
        ("agentId=nobody", ""),
        ("trigger=SCHEDULE", "b"),
        ("from=2026-11-22T12:01:00Z", "cb"),
        ("to=2026-11-22T12:01:00Z", "a"),
        ("from=2026-11-22T13:01:00%2B01:00&to=2026-11-22T12:02:00Z", "b"),
        ("sort=queuedAt,asc", "abc"),
        ("sort=finishedAt", "cba"),
        ("sort=startedAt,desc", "cba"),
        ("size=1&page=1", "b"),
    ],
)
def test_runs_are_filtered_sorted_and_paged(viewer, query, found):
    names = {}
    for number, (name, agent, status, trigger) in enumerate(
        [
            ("a", "echo", RunStatus.QUEUED, Trigger.API),
            ("b", "echo", COMPLETED, Trigger.SCHEDULE),
            ("c", "other", FAILED, Trigger.API),
        ]
    ):
        finished_at = None if name == "a" else NOON - number * MINUTE
        queued_at = NOON + number * MINUTE
        run = make_run(
            agent,
            id=f"00000000-0000-7000-8000-00000000000{number}",
            status=status,
            trigger=trigger,
            queued_at=queued_at,
            finished_at=finished_at,
        )
        names[str(run.id)] = name

    response = viewer.get(f"/runs?{query}")

    assert response.status_code == 200
    assert "".join(names[run["runId"]] for run in response.json["content"]) == found


def test_runs_are_filtered_by_schedule(viewer, echo):
    schedule = make_schedule()
    run = make_run(schedule=schedule)
    make_run()

    page = viewer.get(f"/runs?scheduleId={schedule.id}").json

    assert [each["runId"] for each in page["content"]] == [str(run.id)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=DONE", "status"),
        ("status=", "status"),
        ("trigger=api", "trigger"),
        ("scheduleId=1", "scheduleId"),
        ("from=yesterday", "from"),
        ("to=2026-11-22", "to"),
        ("sort=content", "sort"),
        ("batchId=1", "batchId"),
        ("since=2026-11-22T12:00:00Z", "since"),
    ],
)
def test_a_query_that_makes_no_sense_names_its_field(viewer, query, field):
    response = viewer.get(f"/runs?{query}")

    assert response.status_code == 422
    assert field in response.json["errors"]


def test_the_events_of_a_run_come_in_order(viewer, echo):
    run, other = make_run(), make_run()
    for seq in (2, 1):
        RunEvent.create(run=run, seq=seq, at=NOON, attempt=1, type="log", data={"line": seq})
    RunEvent.create(run=other, seq=1, at=NOON, attempt=1, type="log")

    page = viewer.get(f"/runs/{run.id}/events").json

    assert [event["seq"] for event in page["content"]] == [1, 2]
    assert page["content"][0] == {
        "seq": 1,
        "at": "2026-11-22T12:00:00Z",
        "attempt": 1,
        "type": "log",
        "data": {"line": 1},
    }


def test_a_queued_run_is_cancelled_at_once(operator, echo):
    run = make_run()

    response = operator.post(f"/runs/{run.id}/cancel")
    again = operator.post(f"/runs/{run.id}/cancel")

    assert response.status_code == 200
    assert (response.json["status"], response.json["runId"]) == ("CANCELLED", str(run.id))
    assert again.status_code == 409
    assert [event.action for event in AuditEvent.select()] == ["run.cancel"]


def test_a_running_run_is_asked_to_stop(operator, echo):
    run = make_run(leased_by="worker-1")

    response = operator.post(f"/runs/{run.id}/cancel")

    assert response.json["status"] == "RUNNING"
    assert response.json["cancelRequestedAt"] == "2026-11-22T12:00:00Z"


def test_only_a_paused_run_goes_on(operator, echo):
    paused, queued = make_run(status=PAUSED), make_run()

    continued = operator.post(f"/runs/{paused.id}/continue")
    refused = operator.post(f"/runs/{queued.id}/continue")

    assert (continued.status_code, continued.json["status"]) == (200, "QUEUED")
    assert refused.status_code == 409


def test_an_ended_run_is_repeated_as_a_new_one(operator, echo):
    run = make_run(status=FAILED, finished_at=NOON, message="Once more")

    def retry():
        return operator.post(f"/runs/{run.id}/retry", headers={"Idempotency-Key": "again"})

    first, second = retry(), retry()

    assert first.status_code == second.status_code == 202
    assert first.json == second.json == {"runId": first.json["runId"], "status": "QUEUED"}
    new = operator.get(f"/runs/{first.json['runId']}").json
    assert (new["retryOf"], new["message"], new["trigger"]) == (str(run.id), "Once more", "RETRY")
    assert Run.select().count() == 2


def test_a_run_that_goes_on_is_not_repeated(operator, echo):
    run = make_run()

    assert operator.post(f"/runs/{run.id}/retry").status_code == 409
