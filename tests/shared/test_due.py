"""What is due is recorded, and moved on."""

from contextlib import suppress
from datetime import timedelta

import pytest
from factories import MINUTE, NOON, make_agent, make_schedule, settle, trigger

from shared import db, due, runs
from shared.dispatch import Outgoing
from shared.models import Run, Schedule
from shared.states import (
    COMPLETED,
    MISSED,
    QUEUED,
    SKIPPED,
    CatchUp,
    Overlap,
    Trigger,
)

pytestmark = pytest.mark.usefixtures("database")

HOUR = timedelta(hours=1)


def history(schedule):
    return list(Run.select().where(Run.schedule == schedule).order_by(Run.scheduled_for))


def test_a_due_schedule_becomes_a_queued_run_with_a_snapshot_of_its_orders():
    make_agent("finance", kind="echo", config={"delaySeconds": 2}, timeout_seconds=77)
    schedule = make_schedule("finance", message="Sum up", max_attempts=4, priority=7)

    assert settle(NOON) == 1

    (run,) = history(schedule)
    assert (run.status, run.trigger, run.scheduled_for) == (QUEUED, Trigger.SCHEDULE, NOON)
    assert (run.agent_id, run.kind, run.config) == ("finance", "echo", {"delaySeconds": 2})
    assert (run.message, run.timeout_seconds) == ("Sum up", 77)
    assert (run.max_attempts, run.priority, run.dispatches) == (4, 7, 0)
    assert (run.available_at, run.dispatch_at, run.queued_at) == (NOON, NOON, NOON)


def test_a_schedule_moves_on_to_its_next_fire_time_and_shows_its_last_run():
    schedule = make_schedule(cron_expression="*/5 * * * *")

    settle(NOON)

    after = Schedule.get_by_id(schedule.id)
    assert after.next_run_at == NOON + 5 * MINUTE
    assert after.last_run_id == history(schedule)[0].id
    assert (after.version, after.enabled) == (1, True)


def test_where_not_all_can_be_sent_at_once_the_urgent_are():
    make_schedule(priority=5)
    urgent = make_schedule(priority=9)
    make_schedule(priority=8)
    outgoing = Outgoing(room=1, again_at=NOON + MINUTE)

    assert settle(NOON, outgoing=outgoing) == 3

    (run,) = history(urgent)
    assert [each.run_id for each in outgoing.sendings()] == [run.id.hex]
    assert [each.dispatches for each in Run.select().order_by(-Run.priority)] == [1, 0, 0]


def test_nothing_is_recorded_before_its_time():
    schedule = make_schedule(next_run_at=NOON + timedelta(microseconds=1))

    assert settle(NOON) == 0
    assert history(schedule) == []


def test_disabled_and_deleted_schedules_are_not_due():
    make_schedule(enabled=False)
    make_schedule(enabled=False, deleted_at=NOON)

    assert settle(NOON) == 0


def test_a_fire_time_that_is_recorded_already_is_not_recorded_again():
    schedule = make_schedule()
    settle(NOON)
    Schedule.update(next_run_at=NOON).execute()

    settle(NOON)

    assert len(history(schedule)) == 1


def test_a_schedule_s_own_limit_of_time_goes_before_its_agent_s():
    schedule = make_schedule(timeout_seconds=5)

    settle(NOON)

    assert history(schedule)[0].timeout_seconds == 5


def test_after_an_outage_the_newest_runs_and_the_rest_is_one_gap():
    schedule = make_schedule(catch_up_policy=CatchUp.LATEST)

    settle(NOON + 10 * MINUTE)

    gap, run = history(schedule)
    assert (gap.status, gap.missed_count) == (MISSED, 10)
    assert (gap.scheduled_for, gap.missed_until) == (NOON, NOON + 9 * MINUTE)
    assert gap.finished_at == NOON + 10 * MINUTE
    assert gap.error["code"] == "MISFIRE"
    assert (run.status, run.scheduled_for) == (QUEUED, NOON + 10 * MINUTE)
    assert Schedule.get_by_id(schedule.id).next_run_at == NOON + 11 * MINUTE


def test_without_catch_up_an_outage_is_one_gap():
    schedule = make_schedule(cron_expression="0 * * * *", catch_up_policy=CatchUp.NONE)

    settle(NOON + 2 * HOUR + 30 * MINUTE)

    (gap,) = history(schedule)
    assert (gap.status, gap.missed_count) == (MISSED, 3)


def test_a_gap_longer_than_one_look_is_completed_by_the_next(monkeypatch):
    monkeypatch.setattr(due, "_PASSED_AT_MOST", 4)
    schedule = make_schedule(catch_up_window_seconds=60)
    now = NOON + 10 * MINUTE

    while settle(now):
        pass

    *gaps, run = history(schedule)
    assert [gap.missed_count for gap in gaps] == [4, 4, 2]
    assert [gap.scheduled_for for gap in gaps] == [NOON, NOON + 4 * MINUTE, NOON + 8 * MINUTE]
    assert (run.status, run.scheduled_for) == (QUEUED, now)


def test_skip_records_a_fire_time_that_comes_while_the_run_before_goes_on():
    schedule = make_schedule(overlap_policy=Overlap.SKIP)
    settle(NOON)

    settle(NOON + MINUTE)

    _, second = history(schedule)
    assert (second.status, second.error["code"]) == (SKIPPED, "OVERLAP")
    assert second.finished_at == NOON + MINUTE


def test_skip_runs_again_once_the_run_before_has_ended():
    schedule = make_schedule(overlap_policy=Overlap.SKIP)
    settle(NOON)
    Run.update(status=COMPLETED, finished_at=NOON).execute()

    settle(NOON + MINUTE)

    assert history(schedule)[1].status is QUEUED


def test_allow_runs_beside_the_run_before():
    schedule = make_schedule(overlap_policy=Overlap.ALLOW)
    settle(NOON)

    settle(NOON + MINUTE)

    assert [run.status for run in history(schedule)] == [QUEUED, QUEUED]


def test_a_manual_run_never_counts_as_overlapping():
    schedule = make_schedule(overlap_policy=Overlap.SKIP)
    trigger(schedule)

    settle(NOON)

    scheduled = [run for run in history(schedule) if run.trigger is Trigger.SCHEDULE]
    assert [run.status for run in scheduled] == [QUEUED]


def test_the_fire_times_of_a_disabled_agent_are_skipped():
    make_agent("off", enabled=False)
    schedule = make_schedule("off")

    settle(NOON)

    assert history(schedule)[0].error["code"] == "AGENT_DISABLED"


def test_a_one_time_schedule_fires_once_and_is_then_disabled():
    schedule = make_schedule(cron_expression=None, run_at=NOON)

    settle(NOON)

    after = Schedule.get_by_id(schedule.id)
    assert [run.status for run in history(schedule)] == [QUEUED]
    assert (after.enabled, after.next_run_at) == (False, None)


def test_nothing_fires_after_the_end_of_a_schedule():
    schedule = make_schedule(end_at=NOON + MINUTE)

    settle(NOON)
    settle(NOON + MINUTE)
    settle(NOON + 2 * MINUTE)

    assert [run.scheduled_for for run in history(schedule)] == [NOON, NOON + MINUTE]
    assert Schedule.get_by_id(schedule.id).next_run_at is None


def test_jitter_delays_a_run_and_not_its_fire_time():
    schedule = make_schedule(jitter_seconds=30)

    settle(NOON)

    (run,) = history(schedule)
    assert run.scheduled_for == NOON
    assert NOON < run.available_at < NOON + timedelta(seconds=30)
    assert run.dispatch_at == run.available_at


def test_a_broken_schedule_is_set_aside_and_shows_why():
    broken = make_schedule(timezone="Nowhere/Land")
    sound = make_schedule()

    assert settle(NOON) == 2
    assert settle(NOON) == 0

    assert len(history(sound)) == 1
    after = Schedule.get_by_id(broken.id)
    assert "Nowhere/Land" in after.error
    assert (after.enabled, after.next_run_at) == (True, None)


def test_a_failed_transaction_leaves_everything_due():
    schedule = make_schedule()

    with suppress(ZeroDivisionError), db.transaction():
        settle(NOON)
        raise ZeroDivisionError

    assert history(schedule) == []
    assert Schedule.get_by_id(schedule.id).next_run_at == NOON


def test_one_look_takes_no_more_than_its_limit_and_the_longest_waiting_first():
    make_schedule(next_run_at=NOON)
    waiting = make_schedule(next_run_at=NOON - MINUTE)

    assert settle(NOON, limit=1) == 1

    assert len(history(waiting)) > 0


def test_a_look_at_one_schedule_leaves_the_others_alone():
    mine, other = make_schedule(), make_schedule()

    settle(NOON, only=mine.id)

    assert (len(history(mine)), len(history(other))) == (1, 0)


def test_the_next_due_time_is_the_earliest_of_what_is_enabled():
    assert due.next_due_at() is None
    make_schedule(next_run_at=NOON + MINUTE)
    make_schedule(next_run_at=NOON, enabled=False)

    assert due.next_due_at() == NOON + MINUTE


def test_a_later_edit_does_not_reach_a_run_that_exists():
    schedule = make_schedule(message="before")
    settle(NOON)
    Schedule.update(message="after").execute()

    claimed = runs.get(history(schedule)[0].id)

    assert claimed.message == "before"
