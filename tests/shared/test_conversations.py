"""What runs keep for their next attempt, and sessions for their next run."""

import threading
from datetime import timedelta

import pytest
from factories import (
    LEASE,
    MINUTE,
    NOON,
    held,
    make_agent,
    make_batch,
    make_run,
    make_schedule,
    settle,
    trigger,
)
from waiting import wait_until

from shared import conversations, db, kinds, new_runs, retention, runs
from shared.attempts import Lease, Outcome
from shared.models import Run, RunState, Session
from shared.states import COMPLETED, ENDED, FAILED, PAUSED, QUEUED, Overlap, SessionPolicy

pytestmark = pytest.mark.usefixtures("database")

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def echo_converses(monkeypatch):
    """Have the kind of these tests' agents be one that remembers."""
    monkeypatch.setattr(kinds.get("echo"), "converses", True, raising=False)


def claim(*run_ids, worker="worker-1", queue="runs"):
    Run.update(dispatches=1).where(Run.status == QUEUED).execute()
    return runs.claim(list(run_ids), worker, lease=LEASE, now=NOON, queue=queue)


def begin(run_id, **values):
    """Claim a run; it, and what it can know."""
    (run,) = claim(run_id, **values)
    return run, conversations.recall([run])[run.id]


def finish(run, content="done", status=COMPLETED, now=NOON):
    runs.finish({Lease(run.id, run.attempt): Outcome(status=status, content=content)}, now=now)


def remember(run, history, *, recalled=False, now=NOON):
    conversations.remember(run, history, recalled=recalled, now=now)


def background(agent="echo", **values):
    orders = {
        "message": "Hello",
        "metadata": {},
        "session_id": None,
        "timeout_seconds": None,
        "max_attempts": 3,
        "priority": 5,
        "key": None,
        "now": NOON,
    }
    return new_runs.background(agent, **orders | values).id


# What is kept.


def test_the_next_attempt_is_given_what_was_kept_last():
    run = make_run(leased_by="worker-1")
    conversations.keep(held(run), "first")
    conversations.keep(held(run), "Größe 🚀 " * 1000)
    runs.release(held(run), now=NOON)

    again, memory = begin(run.id)

    assert (again.attempt, memory.kept) == (2, "Größe 🚀 " * 1000)


def test_who_has_kept_nothing_is_given_nothing():
    _, memory = begin(make_run().id)

    assert (memory.kept, memory.answers) == (None, {})


def test_what_is_kept_takes_less_room_than_it_is_long():
    run = make_run(leased_by="worker-1")

    conversations.keep(held(run), "So it goes. " * 10_000)

    assert len(bytes(RunState.get().state)) < 2000


def test_who_has_lost_the_run_keeps_nothing():
    run = make_run(leased_by="worker-1", attempt=2)
    conversations.keep(held(run), "mine")

    conversations.keep(Lease(run.id, 1), "too late")

    assert conversations.unpacked(RunState.get().state) == "mine"


@pytest.mark.parametrize("status", sorted(ENDED - {"MISSED"}))
def test_of_a_run_that_has_ended_nothing_is_kept(status):
    run = make_run(status=status, finished_at=NOON, attempt=1)

    conversations.keep(held(run), "too late")

    assert not RunState.select().exists()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_late_owner_that_looked_before_the_next_claim_overwrites_nothing(at_once):
    run = make_run(leased_by="worker-1")
    written, proceed = threading.Event(), threading.Event()

    def next_owner():
        with db.transaction():
            Run.update(attempt=2, leased_by="worker-2").where(Run.id == run.id).execute()
            conversations.keep(Lease(run.id, 2), "mine")
            written.set()
            assert proceed.wait(10)

    def late_owner():
        assert written.wait(10)
        # It sees the run as it was before, and waits for the other's row.
        conversations.keep(Lease(run.id, 1), "too late")

    def let_go():
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: db.execute(waiting).fetchone(), "the late owner to wait")
        proceed.set()

    at_once(next_owner, late_owner, let_go)

    assert conversations.unpacked(RunState.get().state) == "mine"


def test_what_a_run_kept_goes_with_it():
    run = make_run(leased_by="worker-1")
    conversations.keep(held(run), "state")

    conversations.forget([run.id])

    assert not RunState.select().exists()


def test_what_was_left_by_those_that_died_is_swept():
    ended, paused, queued = (make_run(leased_by="worker-1") for _ in range(3))
    for run in (ended, paused, queued):
        conversations.keep(held(run), "state")
    finish(ended, status=FAILED)
    runs.pause(held(paused), [], wait=None, now=NOON)
    runs.release(held(queued), now=NOON)

    list(retention.prune(days=0, now=NOON))

    assert {each.run_id for each in RunState.select()} == {paused.id, queued.id}


# What is remembered.


def test_all_runs_of_a_schedule_that_shares_its_session_know_what_was_said():
    schedule = make_schedule(session_policy=SessionPolicy.SHARED)
    first, memory = begin(trigger(schedule))
    assert (first.session_id, memory.history) == (schedule.id, "")
    remember(first, "one")

    second, memory = begin(trigger(schedule), worker="worker-2")
    assert (second.session_id, memory.history) == (schedule.id, "one")
    remember(second, "one two", recalled=True, now=NOON + MINUTE)

    session = Session.get()
    assert (session.id, session.schedule_id, session.agent_id) == (schedule.id, schedule.id, "echo")
    assert (session.turns, session.size) == (2, len("one two"))
    assert (session.created_at, session.updated_at) == (NOON, NOON + MINUTE)


def test_a_fire_time_shares_the_session_as_a_trigger_does():
    schedule = make_schedule(session_policy=SessionPolicy.SHARED)
    with db.transaction():
        settle(NOON)

    run, memory = begin(Run.get().id)

    assert (run.session_id, memory.history) == (schedule.id, "")


@pytest.mark.parametrize("policy", [SessionPolicy.FRESH, SessionPolicy.LAST_OUTPUT])
def test_who_starts_fresh_remembers_nothing_and_is_told_so(policy):
    schedule = make_schedule(session_policy=policy)

    (first, memory), (second, _) = begin(trigger(schedule)), begin(trigger(schedule))

    assert memory.history is None
    assert first.session_id == first.id != second.session_id


def test_a_run_on_request_goes_on_with_the_session_that_it_names():
    make_agent()
    first, memory = begin(background())
    assert memory.history == ""
    remember(first, "one")

    _, memory = begin(background(session_id=first.session_id), worker="worker-2")

    assert memory.history == "one"


@pytest.mark.parametrize("recalled", [False, True])
def test_no_agent_reads_or_changes_the_session_of_another(recalled):
    make_agent("echo")
    make_agent("other")
    mine, _ = begin(background())
    remember(mine, "of mine")

    theirs, memory = begin(background("other", session_id=mine.session_id))
    remember(theirs, "of theirs", recalled=recalled)

    assert memory.history == ""
    _, memory = begin(background(session_id=mine.session_id))
    assert memory.history == "of mine"


def test_items_of_batches_have_no_session():
    batch = make_batch()
    run = make_run(batch=batch, item_index=0, queue="local", leased_by="worker-1")
    Run.update(status=QUEUED, leased_by=None, lease_until=None).execute()
    db.execute("UPDATE batch SET status = 'RUNNING'")

    _, memory = begin(run.id, queue="local")

    assert memory.history is None


def test_a_retry_knows_no_more_than_the_run_that_it_repeats():
    schedule = make_schedule(session_policy=SessionPolicy.FRESH)
    run, _ = begin(trigger(schedule))
    finish(run, status=FAILED)

    _, memory = begin(new_runs.retry(run.id, key=None, now=NOON).id)

    assert memory.history is None


def test_two_runs_of_one_session_at_once_leave_the_history_of_one(at_once):
    schedule = make_schedule(session_policy=SessionPolicy.SHARED, overlap_policy=Overlap.ALLOW)
    (one, _), (other, _) = begin(trigger(schedule)), begin(trigger(schedule))

    at_once(lambda: remember(one, "one"), lambda: remember(other, "other"))

    session = Session.get()
    assert conversations.unpacked(session.history) in {"one", "other"}
    assert session.turns == 2


def test_what_was_forgotten_while_a_run_went_on_does_not_come_back():
    schedule = make_schedule(session_policy=SessionPolicy.SHARED)
    first, _ = begin(trigger(schedule))
    remember(first, "a secret")
    second, memory = begin(trigger(schedule))
    Session.delete().execute()

    remember(second, "a secret, and more", recalled=bool(memory.history))

    assert not Session.select().exists()


def test_a_session_that_was_silent_for_as_long_as_runs_are_kept_goes():
    schedule = make_schedule(session_policy=SessionPolicy.SHARED)
    other = make_schedule(session_policy=SessionPolicy.SHARED)
    for each, at in ((schedule, NOON - 8 * DAY), (other, NOON - 6 * DAY)):
        run, _ = begin(trigger(each))
        remember(run, "hello", now=at)

    list(retention.prune(days=0, now=NOON))
    assert Session.select().count() == 2

    list(retention.prune(days=7, now=NOON))
    assert [each.id for each in Session.select()] == [other.id]


# What was answered last.


def test_the_last_output_is_that_of_the_latest_run_that_completed():
    schedule, other = make_schedule(message="{{ lastOutput }}"), make_schedule()
    for number, (each, status) in enumerate(
        [(schedule, COMPLETED), (schedule, COMPLETED), (schedule, FAILED), (other, COMPLETED)]
    ):
        run, _ = begin(trigger(each, NOON + number * MINUTE))
        finish(run, f"answer {number}", status=status)
    waiting = trigger(schedule, NOON + 5 * MINUTE)
    later, _ = begin(trigger(schedule, NOON + 6 * MINUTE))
    finish(later, "from the future")

    _, memory = begin(waiting)

    assert memory.places.last_output == "answer 1"


def test_at_first_there_is_no_last_output():
    _, memory = begin(trigger(make_schedule()))

    assert memory.places.last_output is None


def test_many_are_recalled_at_once_each_with_its_own():
    schedule = make_schedule(session_policy=SessionPolicy.SHARED, name="Shared", timezone="UTC")
    remember(begin(trigger(schedule))[0], "shared")
    fresh = make_schedule(name="Fresh", timezone="Asia/Tokyo")
    alone = make_run()
    ids = [trigger(schedule), trigger(fresh), alone.id]

    claimed = claim(*ids)
    memories = conversations.recall(claimed)

    assert [memories[id].history for id in ids] == ["shared", None, ""]
    places = [memories[id].places for id in ids]
    assert places[2] is None
    assert [(each.schedule, each.timezone) for each in places[:2]] == [
        ("Shared", "UTC"),
        ("Fresh", "Asia/Tokyo"),
    ]


@pytest.mark.parametrize(
    ("values", "recalls"),
    [
        ({}, False),
        ({"message": "At {{ scheduledFor }}"}, True),
        ({"session_policy": SessionPolicy.LAST_OUTPUT}, True),
    ],
)
def test_only_who_needs_it_is_looked_up(monkeypatch, values, recalls):
    monkeypatch.setattr(kinds.get("echo"), "converses", False)
    (run,) = claim(trigger(make_schedule(**values)))

    assert conversations.recalls(run) is recalls


def test_who_paused_is_given_the_answers():
    run = make_run(status=PAUSED, attempt=1, asks=[])
    calls = {"call_1": {"approved": True, "says": None}}
    runs.resume(run.id, {"attempt": 1, "calls": calls}, now=NOON)

    held, memory = begin(run.id)

    assert memory.answers == calls
    # Another attempt goes on from elsewhere, where another call could have that id.
    conversations.keep(Lease(run.id, held.attempt), "further on")
    runs.release(Lease(run.id, held.attempt), now=NOON)
    _, memory = begin(run.id)
    assert (memory.kept, memory.answers) == ("further on", {})
