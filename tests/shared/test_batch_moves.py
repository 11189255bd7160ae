"""The moves of batches, each with what it says to whoever comes at the wrong time."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import LEASE, NOON, make_batch, make_run, make_worker, status_of

from shared import runs
from shared.attempts import Lease, Outcome
from shared.batches import moves
from shared.batches.models import Batch, BatchProgress, BatchWorker
from shared.errors import Conflict, NotFound
from shared.models import Run
from shared.states import (
    CANCELLED,
    COMPLETED,
    PAUSED,
    QUEUED,
    RUNNING,
    BatchReason,
    BatchStatus,
)

pytestmark = pytest.mark.usefixtures("database")

LATER = NOON + timedelta(seconds=7)
ASKED = BatchReason.PAUSED_BY_REQUEST
NO_LONGER_WANTED = BatchReason.CANCELLED_BY_REQUEST


def make_item(batch, index=0, **values):
    """An item that became a run, and counts as one that is queued."""
    run = make_run(batch=batch, item_index=index, queue="local", **values)
    BatchProgress.update(taken=BatchProgress.taken + 1, queued=BatchProgress.queued + 1).execute()
    return run


def claimed(batch, index=0):
    run = make_item(batch, index)
    runs.claim([run.id], "worker-1", lease=LEASE, now=NOON, queue="local")
    return Run.get_by_id(run.id)


def pause(batch):
    moves.pause(batch.id, ASKED, now=LATER)


def resume(batch, budget_usd=None):
    moves.resume(batch.id, budget_usd=budget_usd, now=LATER)


def end(batch, reason=NO_LONGER_WANTED):
    moves.end(batch.id, reason, now=LATER)


def after(batch):
    return Batch.get_by_id(batch.id)


@pytest.mark.parametrize("status", [BatchStatus.QUEUED, BatchStatus.RUNNING])
def test_a_pause_says_why_and_has_what_was_sent_wait(status):
    batch = make_batch(status=status)
    run = make_item(batch)

    pause(batch)

    assert (after(batch).status, after(batch).reason) == (BatchStatus.PAUSED, ASKED)
    assert Run.get_by_id(run.id).dispatches == 0


def test_what_runs_may_finish_during_a_pause():
    batch = make_batch()
    run = claimed(batch)

    pause(batch)

    assert runs.finish({Lease(run.id, 1): Outcome(status=COMPLETED)}, now=LATER)


def test_a_batch_that_never_started_waits_again_after_a_pause():
    batch = make_batch()
    pause(batch)

    resume(batch)

    assert (after(batch).status, after(batch).reason) == (BatchStatus.QUEUED, None)


def test_one_that_had_started_goes_on():
    batch = make_batch()
    claimed(batch)
    pause(batch)

    resume(batch)

    assert after(batch).status is BatchStatus.RUNNING
    assert BatchProgress.get_by_id(batch.id).moved_at == LATER


@pytest.mark.parametrize(
    ("budget", "spent_micros", "new", "goes_on"),
    [
        (None, 5_000_000, None, True),
        (Decimal(5), 4_999_999, None, True),
        (Decimal(5), 5_000_000, None, False),
        (Decimal(5), 5_000_000, Decimal(5), False),
        (Decimal(5), 5_000_000, Decimal("5.000001"), True),
        (None, 5_000_000, Decimal(1), False),
    ],
)
def test_it_goes_on_only_while_its_budget_is_not_spent(budget, spent_micros, new, goes_on):
    batch = make_batch(
        status=BatchStatus.PAUSED, reason=BatchReason.BUDGET_SPENT, budget_usd=budget
    )
    BatchProgress.update(agent_micros=spent_micros - 1, compute_micros=1).execute()

    if goes_on:
        resume(batch, new)
        assert after(batch).budget_usd == (new or budget)
    else:
        with pytest.raises(Conflict, match="with a `budgetUsd` that is larger"):
            resume(batch, new)
        assert after(batch).budget_usd == budget

    assert (after(batch).status is not BatchStatus.PAUSED) == goes_on


def test_an_end_drops_what_waits_and_stops_what_runs():
    batch = make_batch(items=5)
    waits, runs_now = make_item(batch, 0), claimed(batch, 1)
    asks = claimed(batch, 2)
    Run.update(status=PAUSED, leased_by=None, lease_until=None).where(Run.id == asks.id).execute()

    end(batch)

    progress = BatchProgress.get_by_id(batch.id)
    assert (progress.dropped, progress.cancelled, progress.running) == (2, 2, 1)
    assert (status_of(waits.id), status_of(asks.id)) == (CANCELLED, CANCELLED)
    stopped = Run.get_by_id(runs_now.id)
    assert (stopped.status, stopped.cancel_requested_at) == (RUNNING, LATER)
    assert (after(batch).ending_at, after(batch).reason) == (LATER, NO_LONGER_WANTED)
    assert after(batch).finished_at is None


def test_a_second_end_changes_nothing():
    batch = make_batch()
    end(batch)

    moves.end(batch.id, BatchReason.DEADLINE_PASSED, now=LATER + LEASE)

    assert (after(batch).ending_at, after(batch).reason) == (LATER, NO_LONGER_WANTED)


def test_a_batch_that_pauses_can_be_ended():
    batch = make_batch(status=BatchStatus.PAUSED, reason=ASKED)

    end(batch)

    assert BatchProgress.get_by_id(batch.id).dropped == 3


def test_the_runs_of_other_batches_and_of_none_go_on():
    batch, other = make_batch(), make_batch()
    others = [make_item(other), make_run(), make_run(leased_by="worker-1")]

    end(batch)

    assert [status_of(run.id) for run in others] == [QUEUED, QUEUED, RUNNING]
    assert Run.select().where(Run.cancel_requested_at.is_null(False)).count() == 0


@pytest.mark.parametrize("move", [pause, resume, end])
@pytest.mark.parametrize(
    "status", [BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED]
)
def test_a_batch_that_has_ended_never_changes(move, status):
    batch = make_batch(status=status, finished_at=NOON)

    with pytest.raises(Conflict, match=f"has ended: {status}"):
        move(batch)

    assert after(batch) == batch


def test_a_batch_that_goes_on_cannot_be_resumed_nor_one_that_pauses_be_paused():
    with pytest.raises(Conflict, match="it waits to start"):
        resume(make_batch())
    with pytest.raises(Conflict, match="it pauses"):
        pause(make_batch(status=BatchStatus.PAUSED, reason=ASKED))


@pytest.mark.parametrize("move", [pause, resume])
def test_a_batch_that_is_about_to_end_goes_no_other_way(move):
    batch = make_batch(
        status=BatchStatus.PAUSED if move is resume else BatchStatus.RUNNING,
        reason=ASKED if move is resume else None,
    )
    end(batch)

    with pytest.raises(Conflict, match="it is about to end"):
        move(batch)


@pytest.mark.parametrize("move", [pause, resume, end])
def test_a_batch_that_is_not_there_or_not_accepted_is_unknown(move):
    with pytest.raises(NotFound):
        move(Batch(id=uuid4()))
    with pytest.raises(NotFound):
        move(make_batch(accepted_at=None))


def test_the_queues_are_those_of_batches_that_have_not_ended():
    make_batch(queue="a")
    make_batch(queue="b", finished_at=NOON, status=BatchStatus.COMPLETED)
    make_batch(queue="c", accepted_at=None)
    make_batch(queue="d", status=BatchStatus.PAUSED, reason=ASKED)

    assert moves.queues() == ["a", "d"]


def test_what_its_workers_really_are_is_on_record_once():
    batch = make_batch()
    make_worker("large", hardware={"vcpu": 8})
    make_worker("of-old")

    for _ in range(2):
        moves.join([batch.id], "large")
    moves.join([batch.id], "of-old")

    (joined,) = BatchWorker.select()
    assert (joined.worker_id, joined.hardware) == ("large", {"vcpu": 8})
