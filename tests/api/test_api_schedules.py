"""/schedules: the documented calls, edits and their rules, pages."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from clients import DOCUMENTED
from factories import MINUTE, NOON, make_run, make_schedule

from shared import clock, reference, retention
from shared.models import AuditEvent, Run, Schedule
from shared.states import COMPLETED, SKIPPED, Trigger

KEYS = [
    *("id", "name", "agentId", "message", "cronExpression", "runAt", "enabled", "timezone"),
    *("startAt", "endAt", "overlapPolicy", "catchUpPolicy", "catchUpWindowSeconds"),
    *("jitterSeconds", "timeoutSeconds", "maxAttempts", "retryBackoffSeconds", "priority"),
    *(
        "keepLast",
        "sessionPolicy",
        "approvalPolicy",
        "approvalWaitSeconds",
        "pausedOverlaps",
        "tags",
        "createdAt",
        "updatedAt",
        "nextRunAt",
        "lastRun",
        "description",
        "error",
        "warning",
        "version",
    ),
]


def test_the_documented_schedule_is_made_to_the_letter(operator, finance_agent):
    response = operator.post("/schedules", DOCUMENTED)

    made = response.json
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/schedules/{made['id']}"
    assert response.headers["ETag"] == '"1"'
    assert sorted(made) == sorted(KEYS)
    assert made.items() >= DOCUMENTED.items()
    assert made["nextRunAt"] == "2026-11-23T08:00:00Z"
    assert made["description"] == "At 08:00"
    assert UUID(made["id"]).version == 7


def test_saving_runs_nothing(operator, schedule_id):
    assert Run.select().count() == 0


def test_only_four_things_are_required(operator, finance_agent):
    response = operator.post("/schedules", {})

    assert response.status_code == 422
    assert sorted(response.json["errors"]) == ["agentId", "cronExpression", "message", "name"]


def test_what_is_not_named_has_the_documented_defaults(operator, schedule_id):
    made = operator.get(f"/schedules/{schedule_id}").json

    assert (
        made.items()
        >= {
            "timezone": "UTC",
            "overlapPolicy": "SKIP",
            "catchUpPolicy": "LATEST",
            "catchUpWindowSeconds": 3600,
            "sessionPolicy": "FRESH",
            "approvalPolicy": "WAIT",
            "approvalWaitSeconds": None,
            "pausedOverlaps": False,
            "jitterSeconds": 0,
            "timeoutSeconds": None,
            "maxAttempts": 3,
            "retryBackoffSeconds": 30,
            "priority": 5,
            "keepLast": None,
            "tags": [],
            "runAt": None,
            "startAt": None,
            "endAt": None,
            "lastRun": None,
            "error": None,
            "version": 1,
        }.items()
    )


def test_one_is_read_as_it_is_listed(viewer, schedule_id):
    one = viewer.get(f"/schedules/{schedule_id}")
    page = viewer.get("/schedules")

    assert one.status_code == page.status_code == 200
    assert page.json == {
        "content": [one.json],
        "number": 0,
        "size": 20,
        "totalElements": 1,
        "totalPages": 1,
    }


def test_it_is_replaced_by_the_documented_put(operator, schedule_id):
    response = operator.put(
        f"/schedules/{schedule_id}", DOCUMENTED | {"cronExpression": "0 9 * * *"}
    )

    assert response.status_code == 200
    assert response.json["cronExpression"] == "0 9 * * *"
    assert response.json["nextRunAt"] == "2026-11-23T09:00:00Z"
    assert response.headers["ETag"] == '"2"'


def test_a_put_keeps_what_it_does_not_name(operator, schedule_id):
    operator.patch(f"/schedules/{schedule_id}", {"timezone": "Asia/Tokyo", "tags": ["sales"]})

    replaced = operator.put(f"/schedules/{schedule_id}", DOCUMENTED).json

    assert (replaced["timezone"], replaced["tags"]) == ("Asia/Tokyo", ["sales"])


def test_a_put_wants_what_a_new_schedule_wants(operator, schedule_id):
    response = operator.put(f"/schedules/{schedule_id}", {"name": "Other"})

    assert response.status_code == 422
    assert sorted(response.json["errors"]) == ["agentId", "cronExpression", "message"]


def test_what_was_read_can_be_put_back(operator, schedule_id):
    read = operator.get(f"/schedules/{schedule_id}").json

    response = operator.put(f"/schedules/{schedule_id}", read)

    assert response.status_code == 200
    assert response.json == read


def test_a_patch_changes_only_what_it_names(operator, schedule_id):
    before = operator.get(f"/schedules/{schedule_id}").json

    after = operator.patch(f"/schedules/{schedule_id}", {"name": "Other"}).json

    changed = {key for key in KEYS if before[key] != after[key]}
    assert changed == {"name", "version"}


def test_an_edit_of_other_things_keeps_the_next_fire_time(operator, schedule_id):
    later = NOON + 30 * MINUTE
    Schedule.update(next_run_at=later).execute()

    edited = operator.patch(f"/schedules/{schedule_id}", {"message": "Other"}).json

    assert edited["nextRunAt"] == "2026-11-22T12:30:00Z"


@pytest.mark.parametrize("field", ["timeoutSeconds", "keepLast", "startAt", "endAt"])
def test_null_resets_what_can_be_null(operator, schedule_id, field):
    value = "2027-01-01T00:00:00Z" if field.endswith("At") else 60
    assert operator.patch(f"/schedules/{schedule_id}", {field: value}).json[field] == value

    reset = operator.patch(f"/schedules/{schedule_id}", {field: None})

    assert reset.json[field] is None


def test_how_many_runs_are_kept_stays_until_it_is_changed(operator, finance_agent):
    made = operator.post("/schedules", DOCUMENTED | {"keepLast": 30}).json
    path = f"/schedules/{made['id']}"

    replaced = operator.put(path, DOCUMENTED).json
    changed = operator.patch(path, {"keepLast": 10_000}).json

    assert [each["keepLast"] for each in (made, replaced, changed)] == [30, 30, 10_000]
    assert operator.get(path).json["keepLast"] == 10_000
    assert changed["nextRunAt"] == made["nextRunAt"]


@pytest.mark.parametrize("number", [0, -1, 10_001, 1.5, "3", True])
def test_how_many_runs_are_kept_is_a_whole_number_from_1(operator, finance_agent, number):
    refused = operator.post("/schedules", DOCUMENTED | {"keepLast": number})

    assert refused.status_code == 422
    assert refused.json["errors"] == {"keepLast": ["Give a whole number from 1 to 10,000."]}


def test_a_schedule_whose_last_run_was_pruned_shows_none(operator, schedule_id):
    run_id = operator.post(f"/schedules/{schedule_id}/trigger").json["runId"]
    retried_id = operator.post(f"/runs/{end(run_id)}/retry").json["runId"]

    assert sum(retention.prune(days=1, now=NOON + timedelta(days=2))) == 1

    assert operator.get(f"/schedules/{schedule_id}").json["lastRun"] is None
    assert operator.get("/schedules").json["content"][0]["lastRun"] is None
    assert operator.get(f"/runs/{run_id}").status_code == 404
    assert operator.get(f"/runs/{run_id}/events").status_code == 404
    assert operator.get(f"/runs/{retried_id}").json["retryOf"] == run_id
    assert operator.get(f"/schedules/{schedule_id}/runs").json["totalElements"] == 1


def end(run_id):
    Run.update(status=COMPLETED, finished_at=NOON).where(Run.id == run_id).execute()
    return run_id


def test_naming_an_instant_replaces_the_expression_and_back(operator, schedule_id):
    path = f"/schedules/{schedule_id}"

    once = operator.patch(path, {"runAt": "2026-12-24T19:00:00+01:00"}).json
    again = operator.patch(path, {"cronExpression": "@daily"}).json

    assert (once["cronExpression"], once["runAt"]) == (None, "2026-12-24T18:00:00Z")
    assert once["nextRunAt"] == once["runAt"]
    assert once["description"] == "Once, on 2026-12-24 at 18:00"
    assert (again["cronExpression"], again["runAt"]) == ("@daily", None)
    assert again["nextRunAt"] == "2026-11-23T00:00:00Z"


def test_a_disabled_schedule_has_no_next_fire_time_until_it_is_enabled(operator, schedule_id):
    path = f"/schedules/{schedule_id}"

    disabled = operator.patch(path, {"enabled": False}).json
    enabled = operator.patch(path, {"enabled": True}).json

    assert disabled["nextRunAt"] is None
    assert enabled["nextRunAt"] == "2026-11-23T08:00:00Z"


def test_the_next_fire_time_is_within_start_and_end(operator, finance_agent):
    window = {"startAt": "2027-03-01T08:00:00Z", "endAt": "2027-03-01T08:00:00.5Z"}

    inside = operator.post("/schedules", DOCUMENTED | window).json
    outside = operator.post(
        "/schedules", DOCUMENTED | window | {"cronExpression": "0 9 * * *"}
    ).json

    assert inside["nextRunAt"] == "2027-03-01T08:00:00Z"
    assert inside["endAt"] == "2027-03-01T08:00:00.5Z"
    assert outside["nextRunAt"] is None


def test_an_edit_records_first_what_the_old_definition_named(operator, schedule_id, monkeypatch):
    Schedule.update(next_run_at=NOON - MINUTE, cron_expression="* * * * *").execute()

    response = operator.patch(f"/schedules/{schedule_id}", {"cronExpression": "0 8 * * *"})

    (latest, missed) = Run.select().order_by(Run.scheduled_for.desc())
    assert (latest.scheduled_for, missed.scheduled_for) == (NOON, NOON - MINUTE)
    assert response.json["nextRunAt"] == "2026-11-23T08:00:00Z"
    assert response.json["lastRun"]["runId"] == str(latest.id)


def test_a_delete_records_first_what_was_due_and_nothing_fires_after(operator, schedule_id):
    Schedule.update(next_run_at=NOON).execute()

    assert operator.delete(f"/schedules/{schedule_id}").status_code == 204

    assert [run.scheduled_for for run in Run.select()] == [NOON]
    deleted = Schedule.get_by_id(schedule_id)
    assert (deleted.enabled, deleted.next_run_at) == (False, None)


def test_a_schedule_that_was_set_aside_comes_back_when_it_is_saved(operator, schedule_id):
    Schedule.update(next_run_at=None, error="Broken.").execute()
    assert operator.get(f"/schedules/{schedule_id}").json["error"] == "Broken."

    saved = operator.put(f"/schedules/{schedule_id}", DOCUMENTED).json

    assert saved["error"] is None
    assert saved["nextRunAt"] == "2026-11-23T08:00:00Z"


def test_a_one_time_schedule_that_has_run_is_not_enabled_again_as_it_is(operator, schedule_id):
    path = f"/schedules/{schedule_id}"
    Schedule.update(
        cron_expression=None, run_at=NOON - MINUTE, enabled=False, next_run_at=None
    ).execute()

    renamed = operator.patch(path, {"name": "Other"})
    enabled = operator.patch(path, {"enabled": True})

    assert renamed.status_code == 200
    assert enabled.status_code == 422
    assert enabled.json["errors"] == {"runAt": ["Must be in the future."]}


def test_a_deleted_schedule_is_gone_but_for_its_history(operator, schedule_id):
    path = f"/schedules/{schedule_id}"
    run = make_run("finance_agent", schedule=schedule_id)

    deleted = operator.delete(path)

    assert deleted.status_code == 204
    assert deleted.data == b""
    assert operator.get(path).status_code == 404
    assert operator.put(path, DOCUMENTED).status_code == 404
    assert operator.patch(path, {}).status_code == 404
    assert operator.delete(path).status_code == 404
    assert operator.post(f"{path}/trigger").status_code == 404
    assert operator.get("/schedules").json["totalElements"] == 0
    history = operator.get(f"{path}/runs")
    assert [each["runId"] for each in history.json["content"]] == [str(run.id)]


def test_a_trigger_makes_a_run_even_of_a_disabled_schedule(operator, schedule_id):
    operator.patch(f"/schedules/{schedule_id}", {"enabled": False})

    response = operator.post(f"/schedules/{schedule_id}/trigger")

    run_id = response.json["runId"]
    assert response.status_code == 202
    assert response.json == {"message": "Schedule execution triggered.", "runId": run_id}
    assert response.headers["Location"] == f"/api/v1/runs/{run_id}"
    run = operator.get(f"/runs/{run_id}").json
    assert (run["trigger"], run["status"], run["scheduledFor"]) == ("MANUAL", "QUEUED", None)
    assert run["message"] == DOCUMENTED["message"]
    assert operator.get(f"/schedules/{schedule_id}").json["lastRun"]["runId"] == run_id


@pytest.mark.parametrize(
    "options",
    [{}, {"data": b""}, {"headers": {"Content-Type": "application/json"}}, {"json": {}}],
    ids=["nothing", "empty", "only the content type", "empty object"],
)
def test_a_trigger_needs_no_body(operator, schedule_id, options):
    assert operator.post(f"/schedules/{schedule_id}/trigger", **options).status_code == 202


def test_a_trigger_may_override_the_message(operator, schedule_id):
    body = {"message": "Only Berlin", "metadata": {"asked by": "Ada"}}

    response = operator.post(f"/schedules/{schedule_id}/trigger", body)

    run = operator.get(f"/runs/{response.json['runId']}").json
    assert (run["message"], run["metadata"]) == ("Only Berlin", {"asked by": "Ada"})


def test_a_trigger_is_accepted_while_redis_is_away(operator, schedule_id, valkey_server):
    valkey_server.stop()
    try:
        response = operator.post(f"/schedules/{schedule_id}/trigger")
    finally:
        valkey_server.start()

    assert response.status_code == 202
    assert Run.select().count() == 1


@pytest.mark.parametrize("path", ["", "/trigger", "/runs"])
def test_an_unknown_schedule_is_not_found(operator, path):
    unknown = uuid4()

    response = operator("POST" if path == "/trigger" else "GET", f"/schedules/{unknown}{path}")

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json["detail"] == f"There is no schedule {unknown}."


def test_the_same_key_makes_one_schedule(operator, finance_agent):
    headers = {"Idempotency-Key": "monday"}

    first = operator.post("/schedules", DOCUMENTED, headers=headers)
    operator.patch(f"/schedules/{first.json['id']}", {"name": "Renamed"})
    second = operator.post("/schedules", DOCUMENTED, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json["id"] == first.json["id"]
    assert second.json["name"] == "Renamed"
    assert second.headers["Location"] == first.headers["Location"]
    assert Schedule.select().count() == 1
    assert AuditEvent.select().where(AuditEvent.action == "schedule.create").count() == 1


def test_the_same_key_makes_one_run(operator, schedule_id):
    def trigger():
        path = f"/schedules/{schedule_id}/trigger"
        return operator.post(path, headers={"Idempotency-Key": "once"})

    first, second = trigger(), trigger()

    assert first.json == second.json
    assert second.status_code == 202
    assert Run.select().count() == 1
    assert AuditEvent.select().where(AuditEvent.action == "schedule.trigger").count() == 1


@pytest.mark.parametrize("path", ["", "/{id}/trigger"])
def test_a_key_of_another_request_is_refused(operator, schedule_id, path):
    path = f"/schedules{path.format(id=schedule_id)}"
    headers = {"Idempotency-Key": "once"}
    body = DOCUMENTED if path == "/schedules" else {"message": "One"}
    operator.post(path, body, headers=headers)

    response = operator.post(path, body | {"message": "Two"}, headers=headers)

    assert response.status_code == 422
    assert "Idempotency-Key" in response.json["errors"]


def test_a_key_of_a_schedule_deleted_since_is_a_conflict(operator, finance_agent):
    headers = {"Idempotency-Key": "monday"}
    made = operator.post("/schedules", DOCUMENTED, headers=headers).json
    operator.delete(f"/schedules/{made['id']}")

    assert operator.post("/schedules", DOCUMENTED, headers=headers).status_code == 409


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nothing_is_changed_that_somebody_else_changed_first(operator, schedule_id, method):
    path, body = f"/schedules/{schedule_id}", DOCUMENTED | {"name": "Mine"}
    operator.patch(path, {"name": "Theirs"})

    late = operator(method, path, body, headers={"If-Match": '"1"'})
    in_time = operator(method, path, body, headers={"If-Match": '"2"'})

    assert late.status_code == 412
    assert in_time.status_code in {200, 204}


@pytest.mark.parametrize("tag", ['"x"', "", '"99999999999999999999"', '"-1"', "W/", "\xff"])
def test_a_tag_that_was_never_ours_is_refused(operator, schedule_id, tag):
    response = operator.patch(f"/schedules/{schedule_id}", {}, headers={"If-Match": tag})

    assert response.status_code == 422
    assert "ETag" in response.json["errors"]["If-Match"][0]


def test_an_edit_that_changes_nothing_is_no_new_version(operator, schedule_id):
    response = operator.put(f"/schedules/{schedule_id}", DOCUMENTED)

    assert response.headers["ETag"] == '"1"'
    assert AuditEvent.select().where(AuditEvent.action == "schedule.update").count() == 0


@pytest.fixture
def three_schedules(app):
    """Three schedules that differ in all that can be filtered and sorted by."""
    for number, (name, agent, tags) in enumerate(
        [("Alpha 100%", "one", ["red"]), ("beta_x", "two", ["red", "blue"]), ("GAMMA", "two", [])]
    ):
        make_schedule(
            agent,
            id=UUID(int=number),
            name=name,
            tags=tags,
            enabled=number != 1,
            next_run_at=None if number == 1 else NOON - number * MINUTE,
            priority=number,
            created_at=NOON + number * MINUTE,
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "210"),
        ("enabled=true", "20"),
        ("enabled=false", "1"),
        ("agentId=two", "21"),
        ("tag=red", "10"),
        ("tag=re", ""),
        ("q=A", "210"),
        ("q=ALPHA", "0"),
        ("q=gamma", "2"),
        ("q=%25", "0"),
        ("q=_", "1"),
        ("q=%5C", ""),
        ("q=GAMMA&enabled=false", ""),
        ("sort=name", "012"),
        ("sort=name,desc", "210"),
        ("sort=createdAt,asc", "012"),
        ("sort=nextRunAt", "201"),
        ("sort=nextRunAt,desc", "021"),
        ("sort=priority,desc&size=2", "21"),
        ("sort=priority,desc&size=2&page=1", "0"),
        ("page=7", ""),
    ],
)
def test_schedules_are_filtered_sorted_and_paged(viewer, three_schedules, query, found):
    if query.startswith("sort=name"):
        Schedule.update(name="Beta").where(Schedule.name == "beta_x").execute()

    response = viewer.get(f"/schedules?{query}")

    assert response.status_code == 200
    assert "".join(str(UUID(each["id"]).int) for each in response.json["content"]) == found


def test_a_page_says_how_many_there_are(viewer, three_schedules):
    page = viewer.get("/schedules?size=2&page=1").json

    assert {key: page[key] for key in page if key != "content"} == {
        "number": 1,
        "size": 2,
        "totalElements": 3,
        "totalPages": 2,
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=1000001", "page"),
        ("page=1000000&size=200", "page"),
        (f"page={'9' * 3000}", "page"),
        ("page=1&page=2", "page"),
        ("size=0", "size"),
        ("size=201", "size"),
        ("size=", "size"),
        ("sort=message", "sort"),
        ("sort=name,up", "sort"),
        ("sort=name;DROP TABLE schedule", "sort"),
        ("enabled=1", "enabled"),
        ("nonsense=1", "nonsense"),
        ("nextRunAt=1", "nextRunAt"),
        ("q=%00", "q"),
        ("q=", "q"),
        (f"q={'x' * 201}", "q"),
        ("%00=1", "query"),
    ],
)
def test_a_query_that_makes_no_sense_names_its_field(viewer, query, field):
    response = viewer.get(f"/schedules?{query}")

    assert response.status_code == 422
    assert field in response.json["errors"]


@pytest.mark.parametrize("query", ["q=%ff", "q=%ed%a0%80", "&".join(["q=1"] * 60)])
def test_a_query_that_cannot_be_read_is_refused(viewer, query):
    assert viewer.get(f"/schedules?{query}").status_code in {400, 422}


def test_the_latest_run_is_shown(viewer, schedule_id):
    run = make_run(
        "finance_agent",
        schedule=schedule_id,
        status=COMPLETED,
        trigger=Trigger.SCHEDULE,
        scheduled_for=NOON,
        started_at=NOON,
        finished_at=NOON + MINUTE,
    )
    Schedule.update(last_run_id=run.id).execute()

    shown = viewer.get(f"/schedules/{schedule_id}").json["lastRun"]

    assert shown == {
        "runId": str(run.id),
        "status": "COMPLETED",
        "scheduledFor": "2026-11-22T12:00:00Z",
        "startedAt": "2026-11-22T12:00:00Z",
        "finishedAt": "2026-11-22T12:01:00Z",
    }


def test_the_runs_of_a_schedule_are_its_own(viewer, schedule_id):
    make_run("finance_agent")
    skipped = make_run(
        "finance_agent",
        schedule=schedule_id,
        status=SKIPPED,
        finished_at=NOON,
        error={"code": "OVERLAP", "message": "The run before had not ended."},
    )

    page = viewer.get(f"/schedules/{schedule_id}/runs").json
    none = viewer.get(f"/schedules/{schedule_id}/runs?status=FAILED").json
    other = viewer.get(f"/schedules/{schedule_id}/runs?scheduleId={uuid4()}")

    assert [run["runId"] for run in page["content"]] == [str(skipped.id)]
    assert page["content"][0]["error"]["code"] == "OVERLAP"
    assert none["content"] == []
    assert other.status_code == 422


def test_a_preview_says_when_it_fires_and_what_clock_changes_do(viewer):
    response = viewer.post(
        "/schedules/preview",
        {
            "cronExpression": "30 2 * * *",
            "timezone": "Europe/Berlin",
            "after": "2027-03-27T12:00:00Z",
            "count": 2,
        },
    )

    changed, usual = response.json["fireTimes"]
    assert response.json["description"] == "At 02:30 (Europe/Berlin)"
    assert changed["at"] == "2027-03-28T01:00:00Z"
    assert changed["local"] == "2027-03-28T03:00:00+02:00"
    assert "02:30 does not exist that night" in changed["note"]
    assert usual == {
        "at": "2027-03-29T00:30:00Z",
        "local": "2027-03-29T02:30:00+02:00",
        "note": None,
    }


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cronExpression": "0 0 31 2 *"}, "cronExpression"),
        ({"cronExpression": "5/15 * * * *"}, "cronExpression"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"count": 101}, "count"),
        ({"count": True}, "count"),
        ({"after": "tomorrow"}, "after"),
    ],
)
def test_a_preview_names_what_is_wrong(viewer, wrong, field):
    response = viewer.post("/schedules/preview", {"cronExpression": "0 8 * * *"} | wrong)

    assert response.status_code == 422
    assert field in response.json["errors"]


def test_each_change_is_on_record_with_what_it_changed(admin, schedule_id, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOON + MINUTE)
    admin.patch(f"/schedules/{schedule_id}", {"cronExpression": "0 9 * * *"})

    latest, first = admin.get(f"/audit?resourceId={schedule_id}").json["content"]

    assert (latest["action"], latest["actor"]) == ("schedule.update", "admin")
    assert latest["changes"] == {"cronExpression": {"from": "0 8 * * *", "to": "0 9 * * *"}}
    assert (first["action"], first["actor"]) == ("schedule.create", "operator")
    assert first["changes"]["agentId"] == {"from": None, "to": "finance_agent"}


def test_a_change_that_fails_leaves_no_record(operator, schedule_id, monkeypatch):
    def fail(*_):
        raise RuntimeError

    before = AuditEvent.select().count()
    monkeypatch.setattr("shared.schedules.get", fail)

    response = operator.patch(f"/schedules/{schedule_id}", {"name": "Other"})

    assert response.status_code == 500
    assert AuditEvent.select().count() == before
    assert Schedule.get_by_id(schedule_id).name == DOCUMENTED["name"]


@pytest.mark.parametrize("hours", [2, -2])
def test_a_host_whose_clock_is_off_saves_by_the_database_s(
    operator, schedule_id, monkeypatch, hours
):
    monkeypatch.setattr(clock, "now", lambda: NOON + timedelta(hours=hours))
    monkeypatch.setattr(reference, "ahead", lambda clock: timedelta(hours=-hours))

    edited = operator.patch(f"/schedules/{schedule_id}", {"cronExpression": "*/5 * * * *"}).json
    run_id = operator.post(f"/schedules/{schedule_id}/trigger").json["runId"]

    assert edited["nextRunAt"] == "2026-11-22T12:05:00Z"
    assert operator.get(f"/runs/{run_id}").json["queuedAt"] == "2026-11-22T12:00:00Z"


def test_time_goes_on_from_when_it_was_saved(operator, schedule_id, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOON + 24 * 60 * MINUTE)

    edited = operator.patch(f"/schedules/{schedule_id}", {"cronExpression": "*/5 * * * *"}).json

    assert edited["nextRunAt"] == "2026-11-23T12:05:00Z"
    assert edited["updatedAt"] == "2026-11-23T12:00:00Z"


def test_answers_are_json_in_utf_8(operator, finance_agent):
    response = operator.post("/schedules", DOCUMENTED | {"name": "Größe 🚀"})

    assert response.content_type == "application/json"
    assert json.loads(response.data.decode())["name"] == "Größe 🚀"
