"""/schedules/batches: submitted, seen, moved, and what came of them downloaded."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import LEASE, MINUTE, NOON, make_agent, make_batch, make_run, make_worker

from shared import messages, runs
from shared.attempts import Lease, Outcome, Usage, failure
from shared.batches.lines import BatchLines
from shared.batches.models import Batch, BatchItem, BatchProgress
from shared.batches.oversight import Overseer
from shared.dispatch import Dispatcher
from shared.models import Agent, AuditEvent, Run
from shared.states import CANCELLED, COMPLETED, FAILED, BatchStatus, ErrorCode

PATH = "/schedules/batches"
NEW = {
    "name": "Letters of March",
    "agentId": "writer",
    "items": [
        {"key": "ada", "message": "Write to Ada.", "metadata": {"row": 1}},
        {"message": "Write to Alan."},
    ],
}
ROWS = "key,name,city\nada,Ada,London\nalan,Alan,Wilmslow\n,Grace,Arlington\n"


@pytest.fixture(autouse=True)
def worker(app):
    make_agent("writer", timeout_seconds=77)
    return make_worker(queues=["local"])


@pytest.fixture
def run_all(settings):
    """Run what there is of batches, as workers would; *becomes* says what of each item."""

    def run(becomes=lambda index: Outcome(status=COMPLETED, content=f"Done {index}"), limit=1000):
        with messages.publisher(settings.redis_url) as client:
            lines = BatchLines("local")
            dispatcher = Dispatcher(client, window=limit, resend_after=MINUTE, lines=lines)
            dispatcher.dispatch(NOON)
            client.flushall()
        waiting = [run.id for run in Run.select().where(Run.dispatches > 0)]
        claimed = runs.claim(waiting, "worker-1", lease=LEASE, now=NOON, queue="local")
        index = {run.id: run.item_index for run in Run.select()}
        outcomes = {Lease(run.id, run.attempt): becomes(index[run.id]) for run in claimed}
        if outcomes:
            runs.finish(outcomes, now=NOON + timedelta(seconds=2))
        Overseer(MINUTE).attend(NOON + timedelta(seconds=2))

    return run


def failing_odd(index):
    if index % 2:
        return Outcome(status=FAILED, error=failure(ErrorCode.AGENT_ERROR, "It was odd."))
    used = Usage(cost_usd=Decimal("0.25"))
    return Outcome(status=COMPLETED, content='Even, "so"\nfine', usage=used)


def upload(client, content=ROWS, filename="rows.csv", *, headers=None, **fields):
    data = {"name": "Letters", "agentId": "writer", **fields}
    data["items"] = (io.BytesIO(content.encode()), filename)
    return client.post(PATH, data=data, headers=headers or {})


def submit(client, count=3, **fields):
    items = [{"key": f"key-{n}", "message": f"Letter {n}"} for n in range(count)]
    response = client.post(PATH, NEW | {"items": items} | fields)
    assert response.status_code == 202, response.json
    return response.json["id"]


def test_a_batch_is_taken_with_its_estimate_before_anything_runs(operator):
    response = operator.post(PATH, NEW)

    assert response.status_code == 202
    batch = response.json
    assert response.headers["Location"] == f"/api/v1{PATH}/{batch['id']}"
    assert (batch["status"], batch["progressPercentage"]) == ("QUEUED", 0.0)
    assert (batch["counts"]["total"], batch["counts"]["queued"]) == (2, 2)
    assert batch["estimatedCost"] == {
        "lowUsd": None,
        "highUsd": None,
        "note": "No run of agent writer has been measured yet.",
        "beforeItRan": {
            "lowUsd": None,
            "highUsd": None,
            "note": "No run of agent writer has been measured yet.",
        },
    }
    assert batch["computeConfiguration"]["id"] == "local"
    assert (batch["timeoutSeconds"], batch["maxAttempts"], batch["priority"]) == (77, 3, 5)
    assert operator.get(f"{PATH}/{batch['id']}").json == batch
    assert Run.select().count() == 0


def test_all_that_is_said_of_it_is_kept(operator):
    said = {
        "maxConcurrency": 4,
        "budgetUsd": 12.5,
        "timeoutSeconds": 9,
        "maxAttempts": 2,
        "retryBackoffSeconds": 1,
        "priority": 7,
        "approvalPolicy": "DENY",
        "approvalWaitSeconds": 60,
        "deadline": "2026-11-23T12:00:00Z",
        "notifyAgentId": "writer",
    }

    batch = operator.post(PATH, NEW | said | {"compute": "local"}).json

    assert batch.items() >= said.items()


def test_what_its_agent_has_cost_before_makes_the_estimate(operator):
    for cost in ("0.2", "0.4"):
        make_run(
            "writer",
            status=COMPLETED,
            started_at=NOON,
            finished_at=NOON,
            cost_usd=Decimal(cost),
        )

    cost = operator.post(PATH, NEW | {"dryRun": True}).json["estimatedCost"]

    assert cost["measuredRuns"] == 2
    assert cost["lowUsd"] < 0.6 < cost["highUsd"]


def test_a_dry_run_says_what_it_would_come_to_and_makes_nothing(operator):
    response = operator.post(PATH, NEW | {"dryRun": True})

    assert response.status_code == 200
    assert response.json["items"] == 2
    assert response.json["computeConfiguration"]["queue"] == "local"
    assert upload(operator, template="To {{ name }}", dryRun="true").json["items"] == 3
    assert [table.select().count() for table in (Batch, BatchItem, AuditEvent)] == [0, 0, 0]


def test_a_csv_is_taken_with_a_template(operator):
    response = upload(operator, template="Write to {{ name }} in {{city}}.", maxConcurrency="4")

    assert response.status_code == 202, response.json
    assert response.json["maxConcurrency"] == 4
    items = operator.get(f"{PATH}/{response.json['id']}/items").json["content"]
    assert [(item["key"], item["message"]) for item in items] == [
        ("ada", "Write to Ada in London."),
        ("alan", "Write to Alan in Wilmslow."),
        (None, "Write to Grace in Arlington."),
    ]
    assert items[0]["metadata"] == {"name": "Ada", "city": "London"}


def test_json_lines_are_taken(operator):
    lines = "".join(json.dumps(item) + "\n" for item in NEW["items"])

    response = upload(operator, lines, "items.jsonl")

    items = operator.get(f"{PATH}/{response.json['id']}/items").json["content"]
    assert [item["message"] for item in items] == ["Write to Ada.", "Write to Alan."]
    assert items[0]["metadata"] == {"row": 1}


def test_what_a_file_is_may_also_be_said_by_its_content_type(operator):
    data = {"name": "Letters", "agentId": "writer", "template": "To {{ name }}"}
    data["items"] = (io.BytesIO(ROWS.encode()), "blob", "text/csv; charset=utf-8")

    assert operator.post(PATH, data=data).status_code == 202


def test_a_file_of_which_nobody_says_what_it_is_is_refused(operator):
    response = upload(operator, filename="rows.dat")

    assert response.status_code == 422
    assert response.json["errors"] == {
        "items": ["Name the file .csv or .jsonl, for that says what it is."]
    }


@pytest.mark.parametrize(
    "send",
    [
        lambda client, headers: client.post(PATH, NEW, headers=headers),
        lambda client, headers: upload(client, template="To {{ name }}", headers=headers),
    ],
)
def test_the_same_request_with_the_same_key_makes_one_batch(operator, send):
    headers = {"Idempotency-Key": "march"}

    first, second = send(operator, headers), send(operator, headers)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert Batch.select().count() == 1
    assert AuditEvent.select().count() == 1


def test_another_request_with_the_same_key_is_refused_and_leaves_nothing(operator):
    headers = {"Idempotency-Key": "march"}
    operator.post(PATH, NEW, headers=headers)

    response = upload(operator, template="To {{ name }}", headers=headers)

    assert response.status_code == 422
    assert list(response.json["errors"]) == ["Idempotency-Key"]
    assert (Batch.select().count(), BatchItem.select().count()) == (1, 2)


def test_batches_are_listed_the_newest_first(operator):
    ids = [submit(operator, name=f"Batch {n}") for n in range(3)]

    page = operator.get(f"{PATH}?size=2").json

    assert [batch["id"] for batch in page["content"]] == [ids[2], ids[1]]
    assert (page["totalElements"], page["totalPages"]) == (3, 2)
    assert page["content"][0] == operator.get(f"{PATH}/{ids[2]}").json


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=PAUSED", ["b"]),
        ("status=QUEUED&status=PAUSED", ["b", "a"]),
        ("agentId=echo", ["c"]),
        ("compute=spot", ["a"]),
        ("q=B", ["b"]),
        ("from=2026-11-22T12:00:00Z", ["c", "b", "a"]),
        ("to=2026-11-22T12:00:00Z", []),
        ("sort=name", ["a", "b", "c"]),
        ("sort=finishedAt,desc", ["c", "b", "a"]),
    ],
)
def test_the_list_is_filtered_and_sorted(operator, query, names):
    identified = [uuid4() for _ in range(3)]
    identified.sort()
    make_batch("writer", id=identified[0], name="a", compute_id="spot")
    make_batch(
        "writer", id=identified[1], name="b", status=BatchStatus.PAUSED, reason="PAUSED_BY_REQUEST"
    )
    make_batch(id=identified[2], name="c", status=BatchStatus.COMPLETED, finished_at=NOON)

    content = operator.get(f"{PATH}?{query}").json["content"]

    assert [batch["name"] for batch in content] == names


def test_a_batch_runs_to_its_end(operator, run_all):
    batch_id = submit(operator, 4)

    run_all(failing_odd)

    batch = operator.get(f"{PATH}/{batch_id}").json
    assert (batch["status"], batch["progressPercentage"]) == ("COMPLETED", 100.0)
    assert (batch["counts"]["completed"], batch["counts"]["failed"]) == (2, 2)
    assert batch["note"].startswith("2 of 4 items failed")
    assert batch["actualCost"]["usd"] == 0.5
    assert batch["finishedAt"] == "2026-11-22T12:00:02Z"


def test_items_are_listed_in_their_order_whatever_became_of_them(operator, run_all):
    batch_id = submit(operator, 5)
    run_all(failing_odd, limit=3)

    page = operator.get(f"{PATH}/{batch_id}/items?size=4").json

    assert [item["status"] for item in page["content"]] == [
        *("COMPLETED", "FAILED", "COMPLETED", "QUEUED"),
    ]
    assert (page["totalElements"], page["totalPages"]) == (5, 2)
    done, failed, _, waits = page["content"]
    assert (done["index"], done["key"], done["attempt"]) == (0, "key-0", 1)
    assert (done["content"], done["costUsd"]) == ('Even, "so"\nfine', 0.25)
    assert failed["error"] == {"code": "AGENT_ERROR", "message": "It was odd."}
    assert (waits["runId"], waits["attempt"], waits["startedAt"]) == (None, 0, None)
    run = operator.get(f"/runs/{done['runId']}").json
    assert (run["batchId"], run["trigger"]) == (batch_id, "BATCH")


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("status=FAILED", [1]),
        ("status=COMPLETED", [0, 2]),
        ("status=QUEUED", [3, 4]),
        ("status=RUNNING", []),
        ("status=FAILED&status=QUEUED", [1, 3, 4]),
        ("page=1&size=2", [2, 3]),
    ],
)
def test_items_are_filtered_by_status(operator, run_all, query, indexes):
    batch_id = submit(operator, 5)
    run_all(failing_odd, limit=3)

    page = operator.get(f"{PATH}/{batch_id}/items?{query}").json

    assert [item["index"] for item in page["content"]] == indexes
    assert page["totalElements"] == (5 if "page" in query else len(indexes))


def test_its_runs_can_be_found_among_all_runs(operator, run_all):
    batch_id = submit(operator, 3)
    submit(operator, 3)
    run_all()

    assert operator.get(f"/runs?batchId={batch_id}").json["totalElements"] == 3


def results(client, batch_id, query=""):
    return client.get(f"{PATH}/{batch_id}/results{query}")


def test_results_are_read_as_json_lines_before_the_end(operator, run_all):
    batch_id = submit(operator, 5)
    run_all(failing_odd, limit=3)

    response = results(operator, batch_id)

    assert response.content_type == "application/jsonl; charset=utf-8"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [(line["index"], line["status"]) for line in lines] == [
        (0, "COMPLETED"),
        (1, "FAILED"),
        (2, "COMPLETED"),
    ]
    assert lines[0] == operator.get(f"{PATH}/{batch_id}/items").json["content"][0]


def test_results_are_read_as_csv(operator, run_all):
    batch_id = submit(operator, 2)
    run_all(failing_odd)

    response = results(operator, batch_id, "?format=csv")

    assert response.content_type == "text/csv; charset=utf-8"
    assert f"batch-{batch_id}.csv" in response.headers["Content-Disposition"]
    done, failed = csv.DictReader(io.StringIO(response.text, newline=""))
    assert (done["key"], done["content"], done["costUsd"]) == ("key-0", 'Even, "so"\nfine', "0.25")
    assert (failed["status"], failed["errorCode"]) == ("FAILED", "AGENT_ERROR")
    assert failed["errorMessage"] == "It was odd."


def test_results_of_many_items_are_all_there_and_in_order(operator, run_all):
    batch_id = submit(operator, 230)
    run_all(limit=100)
    operator.post(f"{PATH}/{batch_id}/cancel")

    lines = [json.loads(line) for line in results(operator, batch_id).text.splitlines()]

    assert [line["index"] for line in lines] == list(range(230))
    assert [line["status"] for line in lines] == ["COMPLETED"] * 100 + ["CANCELLED"] * 130


def test_a_cancelled_batch_says_so_once_all_of_it_has_stopped(operator, run_all):
    batch_id = submit(operator, 3)
    run_all(limit=1)

    answer = operator.post(f"{PATH}/{batch_id}/cancel").json
    run_all()

    assert answer["cancelRequestedAt"] == "2026-11-22T12:00:00Z"
    batch = operator.get(f"{PATH}/{batch_id}").json
    assert (batch["status"], batch["counts"]["cancelled"]) == ("CANCELLED", 2)
    statuses = [item["status"] for item in operator.get(f"{PATH}/{batch_id}/items").json["content"]]
    assert statuses == ["COMPLETED", "CANCELLED", "CANCELLED"]


def test_a_batch_pauses_and_goes_on(operator, run_all):
    batch_id = submit(operator, 3)

    paused = operator.post(f"{PATH}/{batch_id}/pause").json
    run_all()
    while_paused = operator.get(f"{PATH}/{batch_id}").json["counts"]["queued"]
    resumed = operator.post(f"{PATH}/{batch_id}/resume").json
    run_all()

    assert (paused["status"], paused["note"]) == ("PAUSED", "It was paused on request.")
    assert (while_paused, resumed["status"]) == (3, "QUEUED")
    assert operator.get(f"{PATH}/{batch_id}").json["status"] == "COMPLETED"


def test_one_that_has_spent_its_budget_wants_a_larger_one(operator, run_all):
    batch_id = submit(operator, 4, budgetUsd=0.25)
    run_all(lambda _: Outcome(status=COMPLETED, usage=Usage(cost_usd=Decimal("0.25"))), limit=1)

    paused = operator.get(f"{PATH}/{batch_id}").json
    refused = operator.post(f"{PATH}/{batch_id}/resume")
    resumed = operator.post(f"{PATH}/{batch_id}/resume", {"budgetUsd": 1})

    assert (paused["status"], paused["counts"]["queued"]) == ("PAUSED", 3)
    assert paused["note"].startswith("Its budget of 0.25 USD is spent")
    assert refused.status_code == 409
    assert (resumed.json["status"], resumed.json["budgetUsd"]) == ("RUNNING", 1.0)


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
def test_a_batch_that_has_ended_is_no_longer_moved(operator, run_all, action):
    batch_id = submit(operator, 1)
    run_all()

    response = operator.post(f"{PATH}/{batch_id}/{action}")

    assert response.status_code == 409
    assert "it has ended: COMPLETED" in response.json["detail"]


def test_what_failed_is_run_again_as_a_new_batch(operator, run_all):
    first = submit(operator, 5, maxConcurrency=2, priority=8, budgetUsd=100, approvalPolicy="FAIL")
    run_all(failing_odd, limit=5)
    run_all(failing_odd, limit=5)
    run_all(failing_odd, limit=5)

    response = operator.post(f"{PATH}/{first}/retry-failed")

    assert response.status_code == 202
    second = response.json
    assert (second["retryOf"], second["counts"]["total"]) == (first, 2)
    assert (second["maxConcurrency"], second["priority"], second["budgetUsd"]) == (2, 8, None)
    assert second["approvalPolicy"] == "FAIL"
    items = operator.get(f"{PATH}/{second['id']}/items").json["content"]
    assert [(item["key"], item["message"]) for item in items] == [
        ("key-1", "Letter 1"),
        ("key-3", "Letter 3"),
    ]
    assert operator.get(f"{PATH}/{first}").json["counts"]["failed"] == 2


def test_what_failed_is_run_again_once_for_a_key(operator, run_all):
    first = submit(operator, 2)
    run_all(failing_odd)
    headers = {"Idempotency-Key": "again"}

    answers = [operator.post(f"{PATH}/{first}/retry-failed", headers=headers) for _ in range(2)]

    assert answers[0].json["id"] == answers[1].json["id"]
    assert Batch.select().count() == 2


def test_only_what_has_ended_and_failed_is_run_again(operator, run_all):
    batch_id = submit(operator, 2)

    before = operator.post(f"{PATH}/{batch_id}/retry-failed")
    run_all()
    after = operator.post(f"{PATH}/{batch_id}/retry-failed")

    assert (before.status_code, after.status_code) == (409, 409)
    assert "has not ended yet" in before.json["detail"]
    assert "no item failed" in after.json["detail"]


def test_what_was_pruned_is_not_run_again(operator, run_all):
    batch_id = submit(operator, 2)
    run_all(failing_odd)
    BatchItem.delete().execute()

    response = operator.post(f"{PATH}/{batch_id}/retry-failed")

    assert response.status_code == 409
    assert "or it was pruned since" in response.json["detail"]
    assert operator.get(f"{PATH}/{batch_id}/items").json["totalElements"] == 0
    assert operator.get(PATH).json["totalElements"] == 1


def test_who_did_what_is_on_record(operator, run_all):
    batch_id = submit(operator, 2, budgetUsd=3)
    for action in ("pause", "resume", "cancel"):
        operator.post(f"{PATH}/{batch_id}/{action}")

    events = list(AuditEvent.select().order_by(AuditEvent.id))
    assert [event.action for event in events] == [
        *("batch.create", "batch.pause", "batch.resume", "batch.cancel"),
    ]
    assert {event.resource_id for event in events} == {batch_id}
    assert events[0].changes["items"] == {"from": None, "to": 2}


def test_a_run_of_an_item_can_be_cancelled_alone(operator, run_all, settings):
    batch_id = submit(operator, 2)
    with messages.publisher(settings.redis_url) as client:
        lines = BatchLines("local")
        Dispatcher(client, window=9, resend_after=MINUTE, lines=lines).dispatch(NOON)
    first = operator.get(f"{PATH}/{batch_id}/items").json["content"][0]

    operator.post(f"/runs/{first['runId']}/cancel")

    assert Run.get_by_id(first["runId"]).status is CANCELLED
    counts = operator.get(f"{PATH}/{batch_id}").json["counts"]
    assert (counts["cancelled"], counts["queued"]) == (1, 1)


def test_an_item_that_is_run_again_alone_is_no_item_any_more(operator, run_all):
    batch_id = submit(operator, 1)
    run_all(lambda _: failing_odd(1))
    (item,) = operator.get(f"{PATH}/{batch_id}/items").json["content"]

    run_id = operator.post(f"/runs/{item['runId']}/retry").json["runId"]

    run = Run.get_by_id(run_id)
    assert (run.batch_id, run.queue, str(run.retry_of)) == (None, "runs", item["runId"])
    assert operator.get(f"{PATH}/{batch_id}").json["counts"]["failed"] == 1


def test_progress_never_falls_and_counts_add_up_at_every_look(operator, run_all):
    batch_id = submit(operator, 20)
    seen = []
    for _ in range(12):
        run_all(failing_odd, limit=2)
        seen.append(operator.get(f"{PATH}/{batch_id}").json)

    progress = [batch["progressPercentage"] for batch in seen]
    assert progress == sorted(progress)
    assert progress[-1] == 100.0
    for batch in seen:
        assert 2 * batch["counts"]["total"] == sum(batch["counts"].values())
    assert BatchProgress.select().count() == 1


def test_a_dry_run_shows_what_the_first_would_be_told(operator):
    of_list = operator.post(PATH, NEW | {"dryRun": True}).json
    of_file = upload(operator, template="Dear {{ name }}", dryRun="true").json

    assert (of_list["items"], of_list["firstMessage"]) == (2, "Write to Ada.")
    assert (of_file["items"], of_file["firstMessage"]) == (3, "Dear Ada")


def test_what_is_cancelled_twice_is_on_record_once(operator):
    batch_id = submit(operator, 3)
    operator.post(f"{PATH}/{batch_id}/pause")

    answers = [operator.post(f"{PATH}/{batch_id}/cancel") for _ in range(2)]

    for answer in answers:
        assert (answer.status_code, answer.json["status"]) == (200, "PAUSED")
        assert answer.json["note"] == "It ends as soon as what runs of it has stopped."
    assert AuditEvent.select().where(AuditEvent.action == "batch.cancel").count() == 1


@pytest.mark.parametrize("how", ["list", "file"])
def test_a_request_that_comes_again_is_answered_though_it_would_be_refused_by_now(operator, how):
    def send():
        if how == "file":
            return upload(operator, template="{{ name }}", headers={"Idempotency-Key": "march"})
        return operator.post(PATH, NEW, headers={"Idempotency-Key": "march"})

    first = send()
    Agent.update(enabled=False).execute()
    second = send()
    other = operator.post(PATH, NEW, headers={"Idempotency-Key": "april"})

    assert (second.status_code, second.json["id"]) == (202, first.json["id"])
    assert other.status_code == 409


def test_what_failed_is_run_again_though_nobody_is_left_to_be_told(operator, run_all):
    make_agent("hook")
    first = submit(operator, 3, notifyAgentId="hook")
    for _ in range(3):
        run_all(failing_odd)
    Agent.update(deleted_at=NOON, enabled=False).where(Agent.id == "hook").execute()

    response = operator.post(f"{PATH}/{first}/retry-failed")

    assert (response.status_code, response.json["notifyAgentId"]) == (202, None)


def test_of_a_list_that_is_wrong_all_through_only_so_much_is_said(operator):
    # With each of them looked at, this would take a minute.
    response = operator.post(PATH, NEW | {"items": [{}] * 200_000})

    assert response.status_code == 422
    assert response.json["errors"].keys() == {f"items.{index}.message" for index in range(20)}


def test_a_csv_has_small_amounts_in_digits(operator, run_all):
    batch_id = submit(operator, 1)
    used = Usage(cost_usd=Decimal("0.000002"))
    run_all(lambda _: Outcome(status=COMPLETED, content="Fine", usage=used))

    text = operator.get(f"{PATH}/{batch_id}/results?format=csv").text

    assert [row["costUsd"] for row in csv.DictReader(io.StringIO(text))] == ["0.000002"]


def test_a_body_that_breaks_off_is_said_to(operator):
    response = operator.post(
        PATH,
        data=b'{"name":',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100"},
    )

    assert response.status_code == 400
    assert response.json["detail"] == "The body broke off before its end."


@pytest.mark.parametrize("page", ["1_0", " 1", "+1", "\u0663"])
def test_a_page_is_a_number_in_digits(operator, page):
    response = operator.get(PATH, query_string={"page": page})

    assert response.status_code == 422
    assert response.json["errors"] == {"page": ["Give a whole number."]}
