"""What several processes do at once, on PostgreSQL: each thread here has a connection of its own.

SQLite's writing transactions exclude each other as a whole; there is nothing to interleave.
"""

import threading
from collections import Counter

import pytest
from factories import (
    LEASE,
    MINUTE,
    NOON,
    held,
    make_agent,
    make_run,
    make_schedule,
    make_worker,
    settle,
)
from waiting import wait_until

from shared import agents, db, leases, messages, runs, schedules
from shared.attempts import Outcome
from shared.dispatch import Dispatcher
from shared.models import Run
from shared.states import CANCELLED, COMPLETED, QUEUED, RUNNING

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
]


def tick(now=NOON):
    with db.transaction():
        return settle(now)


def test_two_ticks_at_once_record_each_fire_time_once(at_once):
    for _ in range(50):
        make_schedule()

    assert sum(at_once(tick, tick, tick)) == 50

    assert Run.select().count() == 50


def test_a_tick_passes_by_what_another_is_recording(at_once):
    make_schedule()
    recorded, proceed = threading.Event(), threading.Event()

    def slow():
        with db.transaction():
            settle(NOON)
            recorded.set()
            proceed.wait(10)

    def quick():
        recorded.wait(10)
        try:
            return tick()
        finally:
            proceed.set()

    assert at_once(slow, quick)[1] == 0
    assert Run.select().count() == 1


def test_nothing_is_made_from_an_agent_that_was_disabled_meanwhile(at_once):
    agent = make_agent()
    schedule = make_schedule()
    locked = threading.Event()

    def disable():
        with db.transaction():
            agents.change(agents.locked(agent.id), {"enabled": False}, now=NOON)
            locked.set()
            wait_until(lambda: waiting() > 0, "the tick to wait for the edit")

    def tick_meanwhile():
        locked.wait(10)
        return tick()

    at_once(disable, tick_meanwhile)

    assert Run.get(Run.schedule == schedule).error["code"] == "AGENT_DISABLED"


def waiting():
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return db.execute(sql).fetchone()[0]


def test_an_edit_loses_no_fire_time_to_a_tick(at_once):
    schedule = make_schedule(message="before")

    def edit():
        schedules.change(schedule.id, {"message": "after"}, version=None, now=NOON)

    at_once(edit, tick)
    tick(NOON + MINUTE)

    runs_of_it = Run.select().where(Run.schedule == schedule).order_by(Run.scheduled_for)
    assert [run.scheduled_for for run in runs_of_it] == [NOON, NOON + MINUTE]
    assert runs_of_it[1].message == "after"


def test_many_claims_at_once_make_one(at_once):
    run = make_run()

    def claim(worker):
        return lambda: runs.claim([run.id], worker, lease=LEASE, now=NOON)

    claimed = at_once(*(claim(f"worker-{number}") for number in range(6)))

    assert sum(map(len, claimed)) == 1
    assert runs.get(run.id).attempt == 1


def test_exactly_one_of_cancelled_finished_and_reaped_is_recorded(at_once):
    outcomes = Counter()
    for _ in range(20):
        run = make_run(leased_by="worker-1")
        lapsed = leases.held()

        def finish(run=run):
            return bool(runs.finish({held(run): Outcome(status=COMPLETED)}, now=NOON))

        def reap(lapsed=lapsed):
            return bool(leases.reap(lapsed, now=NOON + MINUTE))

        finished, reaped = at_once(finish, reap)
        assert finished != reaped
        outcomes[runs.get(run.id).status] += 1

    assert set(outcomes) <= {COMPLETED, QUEUED}


def test_cancelling_and_claiming_at_once_leaves_no_run_half_cancelled(at_once):
    for _ in range(20):
        run = make_run()

        def claim(run=run):
            return runs.claim([run.id], "worker-1", lease=LEASE, now=NOON)

        def cancel(run=run):
            runs.cancel(run.id, now=NOON)

        claimed, _ = at_once(claim, cancel)
        after = runs.get(run.id)
        if claimed:
            assert (after.status, after.cancel_requested_at) == (RUNNING, NOON)
        else:
            assert after.status is CANCELLED


def test_two_dispatchers_at_once_give_no_place_away_twice(at_once, valkey):
    make_worker()
    make_agent("narrow", max_concurrency=3)
    for _ in range(10):
        make_run("narrow", dispatches=0)

    with messages.publisher(valkey) as client:

        def send():
            return Dispatcher(client, window=100, resend_after=LEASE).dispatch(NOON)

        at_once(send, send, send)
        send()

    assert Run.select().where(Run.dispatches > 0).count() == 3


def test_dispatch_does_not_wait_for_an_agent_that_is_being_edited(at_once, valkey):
    make_worker()
    agent = make_agent("narrow", max_concurrency=1)
    make_run("narrow", dispatches=0)
    locked, done = threading.Event(), threading.Event()

    def edit():
        with db.transaction():
            agents.locked(agent.id)
            locked.set()
            assert done.wait(10)

    def send():
        locked.wait(10)
        with messages.publisher(valkey) as client:
            sent = Dispatcher(client, window=100, resend_after=LEASE).dispatch(NOON)
        done.set()
        return sent

    assert at_once(edit, send)[1] == 0


def test_a_dispatch_and_a_tick_of_limited_agents_do_not_deadlock(at_once, valkey):
    make_worker()
    for name in ("narrow-1", "narrow-2", "narrow-3"):
        make_agent(name, max_concurrency=2)
        for _ in range(5):
            make_schedule(name)
            make_run(name, dispatches=0)

    with messages.publisher(valkey) as client:

        def send():
            return Dispatcher(client, window=100, resend_after=LEASE).dispatch(NOON)

        at_once(tick, send, tick, send)

    assert Run.select().where(Run.schedule.is_null(False)).count() == 15
