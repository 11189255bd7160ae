"""/audit: who did what."""

import pytest
from clients import DOCUMENTED
from factories import MINUTE, NOON

from shared import clock


@pytest.fixture
def changes(admin, operator, finance_agent, monkeypatch):
    """Some changes, a minute apart."""
    now = NOON
    monkeypatch.setattr(clock, "now", lambda: now)
    made = operator.post("/schedules", DOCUMENTED).json
    now += MINUTE
    admin.patch(f"/schedules/{made['id']}", {"enabled": False})
    now += MINUTE
    admin.post("/tokens", {"name": "Grafana", "role": "viewer"})
    return made["id"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["token.create", "schedule.update", "schedule.create"]),
        ("sort=at", ["schedule.create", "schedule.update", "token.create"]),
        ("actor=operator", ["schedule.create"]),
        ("action=token.create", ["token.create"]),
        ("resourceType=schedule", ["schedule.update", "schedule.create"]),
        ("from=2026-11-22T12:01:00Z", ["token.create", "schedule.update"]),
        ("to=2026-11-22T12:01:00Z", ["schedule.create"]),
        ("size=1&page=2", ["schedule.create"]),
    ],
)
def test_what_was_done_is_filtered_sorted_and_paged(admin, changes, query, found):
    response = admin.get(f"/audit?{query}")

    assert [event["action"] for event in response.json["content"]] == found


def test_an_event_says_who_did_what_to_what(admin, changes):
    (event,) = admin.get("/audit?action=schedule.update").json["content"]

    (token,) = [each for each in admin.get("/tokens").json["content"] if each["name"] == "admin"]
    assert (
        event.items()
        >= {
            "at": "2026-11-22T12:01:00Z",
            "actor": "admin",
            "tokenId": token["id"],
            "resourceType": "schedule",
            "resourceId": changes,
            "changes": {"enabled": {"from": True, "to": False}},
        }.items()
    )


def test_nothing_can_be_done_about_it(admin):
    assert admin.post("/audit", {}).status_code == 405
    assert admin.delete("/audit").status_code == 405
