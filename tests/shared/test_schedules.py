"""Schedules as a module: what the API does not show of them."""

import threading
from datetime import timedelta

import pytest
from factories import MINUTE, NOON, make_agent, make_schedule

from shared import db, schedules
from shared.errors import Invalid, NotFound, VersionMismatch
from shared.idempotency import IdempotencyKey
from shared.models import Run, Schedule
from shared.pages import Paging
from shared.states import MISSED

pytestmark = pytest.mark.usefixtures("database")

FIELDS = {
    "name": "Daily summary",
    "agent_id": "echo",
    "message": "Hello",
    "cron_expression": "0 8 * * *",
}


def create(fields=FIELDS, key=None):
    return schedules.create(fields, key=key, now=NOON)


def test_what_is_made_is_stored_with_its_first_fire_time():
    make_agent()

    made, new = create()

    schedule = Schedule.get_by_id(made)
    assert new
    assert schedule.next_run_at == NOON + timedelta(hours=20)
    assert (schedule.version, schedule.description) == (1, "At 08:00")


def test_nothing_is_left_of_what_is_refused():
    with pytest.raises(Invalid) as refused:
        create()

    assert refused.value.fields.keys() == {"agentId"}
    assert Schedule.select().count() == 0


def test_one_key_makes_one_schedule_however_many_ask_at_once():
    make_agent()
    key = IdempotencyKey.of("once", b"POST")
    made = []

    def ask():
        with db.connection():
            made.append(create(key=key))
        db.proxy.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({schedule_id for schedule_id, _ in made}) == 1
    assert sorted(new for _, new in made) == [False] * 5 + [True]


def test_edits_at_once_take_turns_and_none_is_lost():
    schedule = make_schedule(cron_expression="0 8 * * *", next_run_at=NOON + MINUTE)

    def edit(field, value):
        with db.connection():
            schedules.change(schedule.id, {field: value}, version=None, now=NOON)
        db.proxy.close()

    edits = [("name", "New"), ("priority", 9), ("max_attempts", 7), ("message", "New")]
    threads = [threading.Thread(target=edit, args=each) for each in edits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    edited = Schedule.get_by_id(schedule.id)
    assert [getattr(edited, field) for field, _ in edits] == [value for _, value in edits]
    assert edited.version == schedule.version + 4


def test_a_change_says_what_changed_as_the_wire_names_it():
    schedule = make_schedule(next_run_at=NOON + MINUTE)

    changes = schedules.change(
        schedule.id, {"name": "Other", "max_attempts": 3}, version=1, now=NOON
    )

    assert changes == {"name": ("Daily summary", "Other")}


def test_an_edit_of_another_version_changes_nothing():
    schedule = make_schedule(next_run_at=NOON + MINUTE)

    with pytest.raises(VersionMismatch):
        schedules.change(schedule.id, {"name": "Other"}, version=2, now=NOON)

    assert Schedule.get_by_id(schedule.id).name == schedule.name


def test_an_edit_after_a_long_gap_leaves_no_instant_out():
    schedule = make_schedule(next_run_at=NOON)

    schedules.change(
        schedule.id, {"cron_expression": "0 8 * * *"}, version=None, now=NOON + 20_000 * MINUTE
    )

    counted = sum(
        run.missed_count if run.status is MISSED else 1
        for run in Run.select().where(Run.schedule == schedule)
    )
    assert counted == 20_001


def test_an_edit_that_fails_records_nothing():
    schedule = make_schedule(next_run_at=NOON)

    with pytest.raises(Invalid):
        schedules.change(schedule.id, {"timezone": "Mars"}, version=None, now=NOON)

    assert Run.select().count() == 0
    assert Schedule.get_by_id(schedule.id).next_run_at == NOON


def test_a_deleted_schedule_is_not_to_be_had():
    schedule = make_schedule(next_run_at=NOON + MINUTE)

    schedules.delete(schedule.id, version=None, now=NOON)

    with pytest.raises(NotFound):
        schedules.get(schedule.id)
    with pytest.raises(NotFound):
        schedules.delete(schedule.id, version=None, now=NOON)
    schedules.check_known(schedule.id)


def test_a_page_counts_what_was_committed_before_it():
    schedule = make_schedule()

    def totals():
        return [
            schedules.page(filters, Paging(number)).total
            for filters in ({}, {"enabled": True})
            for number in (0, 7)
        ]

    assert totals() == [1, 1, 1, 1]
    make_schedule()
    assert totals() == [2, 2, 2, 2]
    schedules.delete(schedule.id, version=None, now=NOON - MINUTE)
    assert totals() == [1, 1, 1, 1]


def test_a_page_counts_what_others_committed():
    make_schedule()
    assert schedules.page({}, Paging()).total == 1

    def work():
        with db.connection():
            make_schedule()
        db.proxy.close()

    other = threading.Thread(target=work)
    other.start()
    other.join()

    assert schedules.page({}, Paging()).total == 2


def test_what_is_rolled_back_was_never_counted():
    make_schedule()
    assert schedules.page({}, Paging()).total == 1

    with db.transaction(), db.proxy.atomic() as change:
        make_schedule()
        assert schedules.page({}, Paging()).total == 2
        change.rollback()

    assert schedules.page({}, Paging()).total == 1
