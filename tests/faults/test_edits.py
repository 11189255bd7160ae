"""A schedule that is edited while some process stands at a failpoint.

Once an edit was answered with 2xx, nothing is ever made from what was before.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from gates import Gate
from waiting import wait_until

from shared import clock, db

SECOND = timedelta(seconds=1)


def change(orders, schedule):
    orders.change(
        schedule, message="New", run_at=clock.now() + 8 * SECOND, enabled=True, by_api=True
    )


def disable(orders, schedule):
    orders.change(schedule, enabled=False, by_api=True)


def delete(orders, schedule):
    orders.delete(schedule, by_api=True)


edits = pytest.mark.parametrize("edit", [change, disable, delete])


def made(snapshot, schedule, message):
    """The runs that were made of a schedule while it had that message."""
    return {
        run["id"]
        for run in snapshot.runs.values()
        if (run["schedule_id"], run["message"]) == (schedule.hex, message)
    }


@pytest.mark.slow
@edits
@pytest.mark.parametrize("moment", ["before_insert", "before_commit", "after_commit", "after_send"])
def test_an_edit_amid_a_tick_is_before_it_or_after_it(
    moment, edit, system, outside, orders, checked, tmp_path
):
    gate = Gate(f"scheduler.{moment}", tmp_path)
    system.start("web")
    (schedule,) = orders.one_time(1, outside.agent(), message="Old")
    orders.wait_until_due()
    system.start("scheduler", gate.order)
    gate.wait_until_reached()

    with ThreadPoolExecutor() as beside:
        editing = beside.submit(edit, orders, schedule)
        # Who waits for the lock of SQLite, which a tick then holds, cannot be seen.
        if not (db.is_sqlite() and moment.startswith("before")):
            wait_until(lambda: editing.done() or _somebody_waits_for_a_lock(system), timeout=20)
        gate.open()
        editing.result(20)
    edited = system.snapshot()
    system.start("worker")

    snapshot = checked(earlier=[edited])
    assert made(snapshot, schedule, "Old") == made(edited, schedule, "Old")
    assert len(made(snapshot, schedule, "Old")) == 1
    assert len(made(snapshot, schedule, "New")) == (edit is change)


@pytest.mark.slow
@edits
@pytest.mark.parametrize("answered", [True, False])
def test_nothing_is_made_from_before_an_edit_whose_answer_is_still_to_come(
    answered, edit, system, outside, orders, checked, tmp_path
):
    gate = Gate("api.after_commit", tmp_path)
    order = gate.order if answered else "api.after_commit=kill"
    system.start("web", order)
    agent = outside.agent()
    at = clock.now() + 6 * SECOND
    (schedule,) = orders.one_time(1, agent, at=at, message="Old")
    orders.one_time(1, agent, at=at)

    with ThreadPoolExecutor() as beside:
        editing = beside.submit(edit, orders, schedule)
        if answered:
            gate.wait_until_reached()
        else:
            assert isinstance(editing.exception(20), OSError)
        assert clock.now() < at
        system.start_all()
        system.wait_for_runs(1, "COMPLETED")
        gate.open()
        if answered:
            editing.result(20)

    snapshot = checked()
    assert made(snapshot, schedule, "Old") == set()
    assert len(made(snapshot, schedule, "New")) == (edit is change)


def _somebody_waits_for_a_lock(system):
    if db.is_sqlite():
        return False
    with psycopg.connect(system.database_url) as connection:
        sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return connection.execute(sql).fetchone() is not None
