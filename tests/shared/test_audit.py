"""The record of who did what."""

from datetime import timedelta
from uuid import uuid4

import pytest
from factories import NOON

from shared import audit, db
from shared.audit import Actor
from shared.models import AuditEvent
from shared.states import Role

pytestmark = pytest.mark.usefixtures("database")


def recorded(changes):
    audit.record(Actor("Ada"), "agent.update", ("agent", "one"), changes, now=NOON)
    return AuditEvent.get().changes


def test_a_record_says_who_what_and_when():
    token_id = uuid4()

    audit.record(Actor("Ada", token_id), "agent.delete", ("agent", "one"), now=NOON)

    event = AuditEvent.get()
    assert (event.at, event.actor, event.token_id) == (NOON, "Ada", token_id)
    assert (event.action, event.resource_type, event.resource_id) == (
        "agent.delete",
        "agent",
        "one",
    )
    assert event.changes == {}


def test_a_record_goes_with_what_it_is_about():
    with db.transaction(), db.proxy.atomic() as change:
        audit.record(Actor("Ada"), "agent.delete", ("agent", "one"), now=NOON)
        change.rollback()

    assert AuditEvent.select().count() == 0


def test_values_are_shown_as_json():
    shown = recorded({"role": (None, Role.ADMIN), "at": (NOON, None), "tags": (["a"], [])})

    assert shown == {
        "role": {"from": None, "to": "admin"},
        "at": {"from": "2026-11-22T12:00:00+00:00", "to": None},
        "tags": {"from": ["a"], "to": []},
    }


def test_long_texts_are_shortened():
    shown = recorded({"message": ("x" * 100_000, "y")})

    assert shown["message"]["from"] == "x" * 200 + "… (100,000 characters)"


@pytest.mark.parametrize("name", ["Authorization", "apiKey", "API_TOKEN", "password", "secret"])
def test_what_looks_like_a_secret_is_hidden(name):
    shown = recorded({"config": ({}, {"headers": {name: "hunter2"}, "env": [{name: ["hunter2"]}]})})

    assert "hunter2" not in str(shown)


def test_the_name_of_a_secret_is_none():
    shown = recorded({"config": ({}, {"token": "${secret:TOKEN}"})})

    assert shown["config"]["to"] == {"token": "${secret:TOKEN}"}


def test_records_sort_as_time_does():
    for hours in (0, 1, 2):
        at = NOON + timedelta(hours=hours)
        audit.record(Actor("Ada"), str(hours), ("agent", "one"), now=at)

    query = AuditEvent.select().order_by(AuditEvent.id)
    assert [event.action for event in query] == ["0", "1", "2"]
