"""The moves of a run: each guarded, and answered by its row count."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import LEASE, NOON, held, make_run, make_schedule, status_of

from shared import leases, runs
from shared.attempts import Lease, Leased, Outcome, Usage
from shared.errors import Conflict, NotFound
from shared.models import Run, RunEvent
from shared.runs import RunEnded
from shared.states import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    MISSED,
    PAUSED,
    QUEUED,
    RUNNING,
)

pytestmark = pytest.mark.usefixtures("database")

LATER = NOON + timedelta(minutes=5)
DONE = Outcome(status=COMPLETED, content="42")
WENT_WRONG = {"code": "AGENT_ERROR", "message": "Out of ideas."}


def claim(run, worker="worker-1", now=NOON):
    return next(iter(runs.claim([run.id], worker, lease=LEASE, now=now)), None)


def finish(held, outcome=DONE, now=LATER):
    return runs.finish({held: outcome}, now=now) == {held}


def make_ended(status):
    gap = {"missed_count": 1} if status is MISSED else {}
    return make_run(status=status, finished_at=NOON, **gap)


def test_a_claim_makes_the_run_its_worker_s_and_counts_the_attempt():
    run = make_run()

    claimed = claim(run)

    assert (claimed.id, claimed.message) == (run.id, "Hello")
    after = runs.get(run.id)
    assert (after.status, after.attempt, after.leased_by) == (RUNNING, 1, "worker-1")
    assert (after.lease_until, after.started_at) == (NOON + LEASE, NOON)


def test_two_deliveries_of_one_message_make_one_claim():
    run = make_run()

    first, second = claim(run, "worker-1"), claim(run, "worker-2")

    assert first is not None
    assert second is None
    assert runs.get(run.id).leased_by == "worker-1"


def test_many_are_claimed_at_once_and_only_those_that_are_to_be_had():
    queued = [make_run(message=str(number)) for number in range(3)]
    taken, unsent = make_run(leased_by="worker-2"), make_run(dispatches=0)
    ids = [run.id for run in (*queued, taken, unsent)]

    claimed = runs.claim([*ids, uuid4()], "worker-1", lease=LEASE, now=NOON)

    assert {(each.id, each.message) for each in claimed} == {
        (run.id, run.message) for run in queued
    }
    assert runs.get(taken.id).leased_by == "worker-2"
    assert status_of(unsent.id) is QUEUED


@pytest.mark.parametrize("status", sorted({*ENDED, PAUSED}))
def test_only_a_queued_run_can_be_claimed(status):
    run = make_run(status=PAUSED) if status is PAUSED else make_ended(status)

    assert claim(run) is None


def test_a_worker_whose_clock_is_behind_can_claim_what_was_dispatched():
    run = make_run()

    assert claim(run, now=NOON - timedelta(milliseconds=50)) is not None


def test_a_run_that_was_not_dispatched_since_it_was_queued_cannot_be_claimed():
    run = make_run(dispatches=0)

    assert claim(run) is None


def test_a_run_whose_attempts_are_spent_cannot_be_claimed():
    run = make_run(attempt=3, max_attempts=3)

    assert claim(run) is None


def test_an_attempt_that_a_drain_put_back_does_not_count():
    run = make_run(attempt=3, uncounted=1, max_attempts=3)

    assert claim(run).attempt == 4


def test_finishing_records_what_came_of_it():
    run = make_run(leased_by="worker-1")
    outcome = Outcome(
        status=COMPLETED,
        content="42",
        model="m",
        metadata={"a": 1},
        usage=Usage(input_tokens=1, output_tokens=2),
    )

    assert finish(held(run), outcome)

    after = runs.get(run.id)
    assert (after.status, after.content, after.finished_at) == (COMPLETED, "42", LATER)
    assert (after.model, after.input_tokens, after.output_tokens) == ("m", 1, 2)
    assert (after.leased_by, after.lease_until, after.metadata) == (None, None, {"a": 1})


def test_many_finish_at_once_each_with_its_own_outcome():
    done, failed, lost = (make_run(leased_by="worker-1") for _ in range(3))
    outcomes = {
        held(done): Outcome(status=COMPLETED, content="42", usage=Usage(cost_usd=Decimal("0.25"))),
        held(failed): Outcome(status=FAILED, error=WENT_WRONG),
        Lease(lost.id, attempt=7): DONE,
    }

    assert runs.finish(outcomes, now=LATER) == {held(done), held(failed)}

    after = runs.get(done.id)
    assert (after.status, after.content, after.cost_usd) == (COMPLETED, "42", Decimal("0.25"))
    after = runs.get(failed.id)
    assert (after.status, after.content, after.error) == (FAILED, None, WENT_WRONG)
    assert status_of(lost.id) is RUNNING


def test_who_ran_it_stays_on_record():
    run = make_run()
    claimed = claim(run, "worker-7")

    finish(held(claimed))

    assert runs.get(run.id).worker_id == "worker-7"


def test_a_worker_that_lost_its_run_can_change_nothing():
    run = make_run(leased_by="worker-2", attempt=2)
    late = Lease(run.id, attempt=1)

    assert not finish(late)
    assert not runs.retry_later(late, WENT_WRONG, at=LATER, now=NOON)
    assert not runs.release(late, now=NOON)

    after = runs.get(run.id)
    assert (after.status, after.leased_by, after.content) == (RUNNING, "worker-2", None)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_an_ended_run_never_changes(status):
    run = make_ended(status)
    before = Run.select().where(Run.id == run.id).dicts().get()

    assert not finish(held(run))
    assert not runs.retry_later(held(run), WENT_WRONG, at=LATER, now=LATER)
    assert not runs.release(held(run), now=LATER)
    with pytest.raises(RunEnded):
        runs.cancel(run.id, now=LATER)
    with pytest.raises(Conflict):
        runs.resume(run.id, now=LATER)
    runs.hand_back([run.id], now=LATER)
    assert leases.reap([Leased(held(run), run.lease_until)], now=LATER) == []

    assert Run.select().where(Run.id == run.id).dicts().get() == before


def test_a_failure_that_may_be_retried_is_queued_for_later_and_kept_as_an_event():
    run = make_run(leased_by="worker-1")

    assert runs.retry_later(held(run), WENT_WRONG, at=LATER, now=NOON)

    after = runs.get(run.id)
    assert (after.status, after.attempt, after.error) == (QUEUED, 1, WENT_WRONG)
    assert (after.available_at, after.dispatch_at, after.dispatches) == (LATER, LATER, 0)
    event = RunEvent.get(RunEvent.run == run.id)
    assert (event.seq, event.attempt, event.type) == (1, 1, "attempt_failed")
    assert event.data == WENT_WRONG


def test_backing_off_doubles_with_each_counted_failure():
    run = make_run(leased_by="worker-1", attempt=3, uncounted=1, retry_backoff_seconds=10)

    assert runs.next_attempt_at(run, now=NOON) == NOON + timedelta(seconds=20)


def test_there_is_no_next_attempt_when_they_are_spent():
    run = make_run(leased_by="worker-1", attempt=3, max_attempts=3)

    assert runs.next_attempt_at(run, now=NOON) is None


def test_a_released_run_can_be_claimed_at_once_and_its_attempt_does_not_count():
    run = make_run(leased_by="worker-1")

    assert runs.release(held(run), now=NOON)

    after = runs.get(run.id)
    assert (after.status, after.attempt, after.uncounted) == (QUEUED, 1, 1)
    assert (after.available_at, after.queued_at) == (NOON, NOON)
    assert RunEvent.get(RunEvent.run == run.id).type == "put_back"


@pytest.mark.parametrize("move", ["retry", "release"])
def test_a_run_that_is_to_be_cancelled_is_not_queued_again(move):
    run = make_run(leased_by="worker-1", cancel_requested_at=NOON)

    if move == "retry":
        moved = runs.retry_later(held(run), WENT_WRONG, at=LATER, now=NOON)
    else:
        moved = runs.release(held(run), now=NOON)

    assert not moved
    assert status_of(run.id) is RUNNING


def test_renewing_prolongs_what_the_worker_holds():
    mine, other = make_run(leased_by="worker-1"), make_run(leased_by="worker-2")

    renewed = leases.renew("worker-1", [mine.id, other.id], until=LATER)

    assert renewed == {held(mine)}
    assert runs.get(mine.id).lease_until == LATER
    assert runs.get(other.id).lease_until == NOON + LEASE


def test_what_a_worker_holds_says_what_is_to_be_cancelled():
    mine = make_run(leased_by="worker-1")
    cancelled = make_run(leased_by="worker-1", cancel_requested_at=NOON)
    make_run(leased_by="worker-2")

    assert {(each.lease, each.cancel_requested) for each in leases.held_by("worker-1")} == {
        (held(mine), False),
        (held(cancelled), True),
    }


def test_a_run_that_its_worker_does_not_know_of_is_not_kept_alive():
    run = make_run(leased_by="worker-1")

    assert leases.renew("worker-1", [uuid4()], until=LATER) == set()

    assert runs.get(run.id).lease_until == NOON + LEASE


def test_the_leases_are_those_of_all_workers():
    made = [make_run(leased_by=worker) for worker in ("worker-1", "worker-2")]
    make_run()

    assert set(leases.held()) == {Leased(held(run), run.lease_until) for run in made}


def test_reaping_queues_a_run_whose_lease_was_not_renewed():
    run = make_run(leased_by="worker-1")

    assert leases.reap(leases.held(), now=LATER) == [(run.id, QUEUED)]

    after = runs.get(run.id)
    assert (after.status, after.available_at, after.dispatches) == (QUEUED, LATER, 0)
    assert after.error["code"] == "WORKER_LOST"
    assert "worker-1" in RunEvent.get(RunEvent.run == run.id).data["message"]


def test_reaping_leaves_what_was_renewed_meanwhile():
    run = make_run(leased_by="worker-1")
    seen = leases.held()

    leases.renew("worker-1", [run.id], until=LATER)

    assert leases.reap(seen, now=LATER) == []
    assert status_of(run.id) is RUNNING


def test_reaping_leaves_an_attempt_that_began_meanwhile():
    run = make_run(leased_by="worker-1", dispatches=1)
    seen = leases.held()

    runs.release(held(run), now=NOON)
    Run.update(dispatches=1).execute()
    assert claim(run, "worker-2")

    assert leases.reap(seen, now=LATER) == []
    assert runs.get(run.id).leased_by == "worker-2"


def test_reaping_fails_a_run_whose_attempts_are_spent():
    run = make_run(leased_by="worker-1", attempt=3, max_attempts=3)

    assert leases.reap(leases.held(), now=LATER) == [(run.id, FAILED)]

    assert runs.get(run.id).error["code"] == "WORKER_LOST"


def test_reaping_cancels_what_was_to_be_cancelled():
    run = make_run(leased_by="worker-1", cancel_requested_at=NOON)

    assert leases.reap(leases.held(), now=LATER) == [(run.id, CANCELLED)]


@pytest.mark.parametrize("status", [QUEUED, PAUSED])
def test_cancelling_what_nobody_works_on_ends_it(status):
    run = make_run(status=status)

    runs.cancel(run.id, now=LATER)

    after = runs.get(run.id)
    assert (after.status, after.finished_at) == (CANCELLED, LATER)


def test_cancelling_a_running_run_asks_its_worker():
    run = make_run(leased_by="worker-1")

    runs.cancel(run.id, now=LATER)

    after = runs.get(run.id)
    assert (after.status, after.finished_at) == (RUNNING, None)
    assert after.cancel_requested_at == LATER


@pytest.mark.parametrize(("attempt", "max_attempts"), [(1, 3), (3, 3)])
def test_what_was_reaped_was_lost_by_its_owner(attempt, max_attempts):
    run = make_run(leased_by="worker-1", attempt=attempt, max_attempts=max_attempts)
    before = leases.is_lost(held(run))

    leases.reap(leases.held(), now=LATER)

    assert (before, leases.is_lost(held(run))) == (False, True)


def test_what_its_owner_recorded_was_not_lost():
    to_retry, done, put_back = (held(make_run(leased_by="worker-1")) for _ in range(3))

    runs.retry_later(to_retry, WENT_WRONG, at=LATER, now=NOON)
    finish(done)
    runs.release(put_back, now=NOON)

    assert not any(map(leases.is_lost, (to_retry, done, put_back)))


def test_a_cancel_is_never_older_than_the_start_that_came_before_it():
    run = make_run(leased_by="worker-1", started_at=LATER)

    runs.cancel(run.id, now=NOON)

    assert Run.get_by_id(run.id).cancel_requested_at == LATER


def test_a_cancel_between_attempts_is_not_older_than_the_last_of_them():
    run = make_run(started_at=LATER)

    runs.cancel(run.id, now=NOON)

    after = Run.get_by_id(run.id)
    assert (after.cancel_requested_at, after.finished_at) == (LATER, LATER)


def test_cancelling_an_unknown_run_says_so():
    with pytest.raises(NotFound):
        runs.cancel(uuid4(), now=NOON)


def test_a_paused_run_goes_on():
    run = make_run(status=PAUSED, attempt=1)

    runs.resume(run.id, now=LATER)

    after = runs.get(run.id)
    assert (after.status, after.available_at, after.dispatches) == (QUEUED, LATER, 0)


def test_a_paused_run_goes_on_even_if_its_attempts_were_spent():
    run = make_run(status=PAUSED, attempt=1, max_attempts=1)

    runs.resume(run.id, now=NOON)
    Run.update(dispatches=1).execute()

    assert claim(run) is not None


@pytest.mark.parametrize("status", sorted(ACTIVE - {PAUSED}))
def test_only_a_paused_run_goes_on(status):
    run = make_run(leased_by="w") if status is RUNNING else make_run()

    with pytest.raises(Conflict):
        runs.resume(run.id, now=LATER)


def test_a_run_handed_back_is_dispatched_again_at_once():
    run = make_run(dispatch_at=LATER)

    runs.hand_back([run.id], now=NOON)

    after = runs.get(run.id)
    assert (after.dispatches, after.dispatch_at) == (0, NOON)


def make_history(schedule):
    for minutes, status in ((0, COMPLETED), (1, FAILED), (4, COMPLETED)):
        at = NOON + timedelta(minutes=minutes)
        make_run(schedule=schedule, scheduled_for=at, status=status, finished_at=at)


@pytest.mark.parametrize(
    ("scheduled_for", "expected"),
    [
        (NOON - timedelta(minutes=1), None),
        (NOON + timedelta(minutes=3), NOON),
        (None, NOON + timedelta(minutes=4)),
    ],
)
def test_a_claimed_run_knows_the_last_fire_time_before_it_that_completed(scheduled_for, expected):
    schedule = make_schedule()
    make_history(schedule)
    run = make_run(schedule=schedule, scheduled_for=scheduled_for)

    assert claim(run).previous_success == expected


def test_a_run_of_no_schedule_has_no_previous_success():
    make_history(make_schedule())

    assert claim(make_run()).previous_success is None
