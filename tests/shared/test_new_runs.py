"""The making of runs on demand."""

from uuid import uuid4

import pytest
from factories import NOON, make_agent, make_run, make_schedule, trigger

from shared import new_runs, runs
from shared.errors import Conflict, Invalid, NotFound
from shared.idempotency import IdempotencyKey
from shared.models import Run, Schedule
from shared.states import COMPLETED, MISSED, QUEUED, Trigger

pytestmark = pytest.mark.usefixtures("database")

KEY = IdempotencyKey.of("k1", b"POST", b"{}")


def background(agent_id="echo", **values):
    orders = {
        "message": "Hello",
        "metadata": {},
        "session_id": None,
        "timeout_seconds": None,
        "max_attempts": 3,
        "priority": 5,
        "key": None,
    }
    return new_runs.background(agent_id, now=NOON, **orders | values).id


def test_a_trigger_makes_a_run_with_the_schedule_s_orders():
    schedule = make_schedule(message="Sum up", enabled=False)

    run = runs.get(trigger(schedule))

    assert (run.status, run.trigger, run.schedule_id) == (QUEUED, Trigger.MANUAL, schedule.id)
    assert (run.message, run.scheduled_for, run.session_id) == ("Sum up", None, run.id)
    assert Schedule.get_by_id(schedule.id).last_run_id == run.id


def test_a_trigger_may_say_something_else():
    run = runs.get(trigger(make_schedule(), message="Only Q3", metadata={"asked": "by Ann"}))

    assert (run.message, run.metadata) == ("Only Q3", {"asked": "by Ann"})


def test_triggers_of_one_key_make_one_run():
    schedule = make_schedule()

    assert trigger(schedule, key=KEY) == trigger(schedule, key=KEY)
    assert Run.select().count() == 1


def test_a_key_that_was_used_for_another_request_is_refused():
    schedule = make_schedule()
    trigger(schedule, key=KEY)

    with pytest.raises(Invalid, match="Idempotency-Key"):
        trigger(schedule, key=IdempotencyKey.of("k1", b"POST", b'{"message": "other"}'))


def test_what_is_not_there_cannot_be_triggered():
    deleted = make_schedule(enabled=False, deleted_at=NOON)

    with pytest.raises(NotFound, match="schedule"):
        trigger(deleted)


def test_the_schedule_of_a_disabled_agent_cannot_be_triggered():
    make_agent("off", enabled=False)

    with pytest.raises(Conflict, match="off is disabled"):
        trigger(make_schedule("off"))


def test_a_background_run_has_no_schedule():
    make_agent("finance", timeout_seconds=77)
    session = uuid4()

    run = runs.get(background("finance", message="Go", priority=9, session_id=session))

    assert (run.trigger, run.schedule_id, run.agent_id) == (Trigger.API, None, "finance")
    assert (run.message, run.priority, run.timeout_seconds) == ("Go", 9, 77)
    assert run.session_id == session


def test_a_background_run_may_have_its_own_limit_of_time():
    make_agent()

    assert runs.get(background(timeout_seconds=5)).timeout_seconds == 5


def test_background_runs_of_one_key_are_one():
    make_agent()

    assert background(key=KEY) == background(key=KEY)


@pytest.mark.parametrize("agent", ["nobody", "gone"])
def test_what_is_not_there_cannot_be_run(agent):
    make_agent("gone", enabled=False, deleted_at=NOON)

    with pytest.raises(NotFound, match=agent):
        background(agent)


def test_a_disabled_agent_cannot_be_run():
    make_agent("off", enabled=False)

    with pytest.raises(Conflict, match="off is disabled"):
        background("off")


def test_a_retry_is_a_new_run_with_the_same_orders():
    ended = make_run(status=COMPLETED, finished_at=NOON, message="Go", attempt=3, priority=2)

    new = runs.get(new_runs.retry(ended.id, key=None, now=NOON).id)

    assert (new.status, new.trigger, new.retry_of) == (QUEUED, Trigger.RETRY, ended.id)
    assert (new.message, new.priority, new.attempt) == ("Go", 2, 0)
    assert runs.get(ended.id).status is COMPLETED


def test_a_run_that_has_not_ended_is_not_retried():
    with pytest.raises(Conflict, match="QUEUED"):
        new_runs.retry(make_run().id, key=None, now=NOON)


def test_a_gap_is_not_retried():
    gap = make_run(status=MISSED, finished_at=NOON, missed_count=3)

    with pytest.raises(Conflict, match="MISSED"):
        new_runs.retry(gap.id, key=None, now=NOON)


def test_an_unknown_run_is_not_retried():
    with pytest.raises(NotFound):
        new_runs.retry(uuid4(), key=None, now=NOON)


def test_retries_of_one_key_are_one():
    ended = make_run(status=COMPLETED, finished_at=NOON)

    assert new_runs.retry(ended.id, key=KEY, now=NOON) == new_runs.retry(
        ended.id, key=KEY, now=NOON
    )


@pytest.mark.parametrize("key", ["", "ü", "a\nb", "x" * 256])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(Invalid, match="printable ASCII"):
        IdempotencyKey.of(key, b"")
