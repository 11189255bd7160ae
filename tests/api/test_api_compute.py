"""/compute-profiles: the machines that batches may use, and who may say what they are."""

import pytest
from factories import NOON, make_batch

from shared.models import AuditEvent
from shared.states import BatchStatus

LARGE = {
    "id": "spot-large",
    "instanceType": "m7i.large",
    "region": "eu-central-1",
    "vcpu": 2,
    "memoryMb": 8192,
    "spot": True,
    "pricePerHour": 0.042,
    "maxWorkers": 20,
}


def test_one_exists_from_the_start_and_costs_nothing_more(viewer):
    (local,) = viewer.get("/compute-profiles").json["content"]

    assert (local["id"], local["queue"], local["pricePerHour"]) == ("local", "local", 0)
    assert viewer.get("/compute-profiles/local").json == local


def test_one_is_made_with_defaults(admin):
    response = admin.post("/compute-profiles", {"id": "plain"})

    assert response.status_code == 201
    assert response.headers["Location"] == "/api/v1/compute-profiles/plain"
    assert response.json == {
        "id": "plain",
        "queue": "plain",
        "description": "",
        "instanceType": None,
        "region": None,
        "vcpu": None,
        "memoryMb": None,
        "spot": False,
        "pricePerHour": None,
        "maxWorkers": None,
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:00Z",
        "version": 1,
    }


def test_all_that_is_said_of_one_is_kept(admin):
    made = admin.post("/compute-profiles", LARGE).json

    assert made.items() >= LARGE.items()
    assert admin.get("/compute-profiles/spot-large").json == made
    assert admin.get("/compute-profiles?spot=true").json["content"] == [made]


def test_what_was_read_can_be_put_back_and_what_is_not_named_stays(admin):
    made = admin.post("/compute-profiles", LARGE).json

    assert admin.put("/compute-profiles/spot-large", made).json == made
    changed = admin.put("/compute-profiles/spot-large", {"pricePerHour": 0.05}).json

    assert changed == made | {"pricePerHour": 0.05, "version": 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "Spot Large"),
        ("queue", "runs"),
        ("queue", "local"),
        ("vcpu", 0),
        ("vcpu", "2"),
        ("vcpu", True),
        ("memoryMb", 1.5),
        ("pricePerHour", -1),
        ("pricePerHour", "0.05"),
        ("pricePerHour", 1e9),
        ("pricePerHour", 1e300),
        ("maxWorkers", 0),
        ("spot", "yes"),
        ("price", 1),
    ],
)
def test_what_is_wrong_is_named(admin, field, value):
    response = admin.post("/compute-profiles", LARGE | {field: value})

    assert response.status_code == 422
    assert list(response.json["errors"]) == [field]


def test_a_profile_keeps_its_queue(admin):
    admin.post("/compute-profiles", LARGE)

    response = admin.put("/compute-profiles/spot-large", {"queue": "another"})

    assert response.status_code == 422
    assert "keeps its queue" in response.json["errors"]["queue"][0]


def test_a_second_one_of_that_id_is_a_conflict(admin):
    admin.post("/compute-profiles", LARGE)

    assert admin.post("/compute-profiles", LARGE).status_code == 409


def test_an_edit_of_an_old_version_changes_nothing(admin):
    admin.post("/compute-profiles", LARGE)

    response = admin.put(
        "/compute-profiles/spot-large", {"spot": False}, headers={"If-Match": '"7"'}
    )

    assert response.status_code == 412
    assert admin.get("/compute-profiles/spot-large").json["spot"] is True


def test_one_that_is_not_used_can_be_deleted_and_made_again(admin):
    admin.post("/compute-profiles", LARGE)

    assert admin.delete("/compute-profiles/spot-large").status_code == 204
    assert admin.get("/compute-profiles/spot-large").status_code == 404
    assert admin.post("/compute-profiles", {"id": "spot-large"}).json["spot"] is False


@pytest.mark.parametrize(
    ("status", "answer"), [(BatchStatus.RUNNING, 409), (BatchStatus.COMPLETED, 204)]
)
def test_one_that_a_batch_uses_stays(admin, status, answer):
    admin.post("/compute-profiles", LARGE)
    finished_at = None if status is BatchStatus.RUNNING else NOON
    make_batch(compute_id="spot-large", status=status, finished_at=finished_at)

    assert admin.delete("/compute-profiles/spot-large").status_code == answer


def test_the_one_that_exists_from_the_start_stays(admin):
    assert admin.delete("/compute-profiles/local").status_code == 409


def test_only_admins_change_them(operator):
    assert operator.post("/compute-profiles", LARGE).status_code == 403
    assert operator.put("/compute-profiles/local", {"spot": True}).status_code == 403
    assert operator.delete("/compute-profiles/local").status_code == 403


def test_changes_are_on_record(admin):
    admin.post("/compute-profiles", LARGE)
    admin.put("/compute-profiles/spot-large", {"pricePerHour": 0.05})
    admin.delete("/compute-profiles/spot-large")

    events = list(AuditEvent.select().order_by(AuditEvent.id))
    assert [event.action.removeprefix("compute_profile.") for event in events] == [
        "create",
        "update",
        "delete",
    ]
    assert list(events[1].changes) == ["pricePerHour"]
