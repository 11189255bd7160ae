"""What the database counts of a batch by itself, whoever moves its runs."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import peewee
import pytest
from factories import LEASE, NOON, held, make_batch, make_run

from shared import db, runs
from shared.attempts import Outcome, Usage, failure
from shared.batches.models import Batch, BatchProgress
from shared.models import Run
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    BatchStatus,
    ErrorCode,
)

pytestmark = pytest.mark.usefixtures("database")

LATER = NOON + timedelta(seconds=7)
ERROR = failure(ErrorCode.AGENT_ERROR, "It failed.")


@pytest.fixture
def batch(database):
    return make_batch(items=3)


def make_item(batch: Batch, index: int = 0, **values: Any) -> Run:
    """An item that became a run, and counts as one that is queued."""
    run = make_run(batch=batch, item_index=index, queue="local", **values)
    BatchProgress.update(taken=BatchProgress.taken + 1, queued=BatchProgress.queued + 1).execute()
    return run


def claimed(batch: Batch, index: int = 0) -> Run:
    """An item that runs."""
    run = make_item(batch, index)
    runs.claim([run.id], "worker-1", lease=LEASE, now=LATER, queue="local")
    return Run.get_by_id(run.id)


def counts(batch: Batch) -> dict[str, int]:
    progress = BatchProgress.get_by_id(batch.id)
    names = ("queued", "running", "paused", "completed", "failed", "cancelled")
    return {name: number for name in names if (number := getattr(progress, name))}


def finish(run: Run, **outcome: Any) -> None:
    runs.finish({held(run): Outcome(**outcome)}, now=LATER)


def test_a_claim_moves_an_item_and_starts_the_batch(batch):
    claimed(batch)

    progress = BatchProgress.get_by_id(batch.id)
    assert counts(batch) == {"running": 1}
    assert (progress.started_at, progress.moved_at) == (LATER, LATER)
    assert Batch.get_by_id(batch.id).status is BatchStatus.RUNNING


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
def test_an_end_is_counted_as_what_it_is(batch, status):
    finish(claimed(batch), status=status)

    assert counts(batch) == {status.lower(): 1}


def test_what_a_claim_that_found_nothing_leaves_is_nothing(batch):
    run = claimed(batch)

    runs.claim([run.id], "worker-2", lease=LEASE, now=LATER, queue="local")

    assert counts(batch) == {"running": 1}


def test_a_retry_goes_back_to_the_queue(batch):
    runs.retry_later(held(claimed(batch)), ERROR, at=LATER, now=LATER)

    assert counts(batch) == {"queued": 1}
    assert BatchProgress.get_by_id(batch.id).interruptions == 0


def test_what_was_put_back_was_interrupted(batch):
    run = claimed(batch)
    runs.release(held(run), now=LATER, usage=Usage(compute_usd=Decimal("0.000250")))

    progress = BatchProgress.get_by_id(batch.id)
    assert counts(batch) == {"queued": 1}
    assert (progress.interruptions, progress.interrupted_micros) == (1, 250)
    assert progress.compute_micros == 250


def test_what_a_person_lets_go_on_was_not_interrupted(batch):
    run = claimed(batch)
    Run.update(status=PAUSED, leased_by=None, lease_until=None).execute()
    assert counts(batch) == {"paused": 1}

    runs.resume(run.id, now=LATER)

    assert counts(batch) == {"queued": 1}
    assert BatchProgress.get_by_id(batch.id).interruptions == 0


def test_what_each_cost_is_added_up(batch):
    costs = [(Decimal("0.25"), Decimal("0.000001")), (Decimal("0.5"), None), (None, None)]
    for index, (cost, compute) in enumerate(costs):
        used = Usage(cost_usd=cost, compute_usd=compute)
        finish(claimed(batch, index), status=COMPLETED, usage=used)

    progress = BatchProgress.get_by_id(batch.id)
    assert (progress.agent_micros, progress.compute_micros) == (750_000, 1)
    assert progress.costed == 2
    assert progress.squared_micros == 250_001**2 + 500_000**2


def test_what_an_item_cost_counts_before_it_has_ended(batch):
    run = claimed(batch)
    runs.pause(held(run), [], wait=None, now=LATER, usage=Usage(cost_usd=Decimal("0.25")))
    assert (counts(batch), spent(batch)) == ({"paused": 1}, 250_000)

    runs.resume(run.id, now=LATER)
    Run.update(dispatches=1).where(Run.id == run.id).execute()
    runs.claim([run.id], "worker-1", lease=LEASE, now=LATER, queue="local")
    again = Run.get_by_id(run.id)
    used = Usage(cost_usd=Decimal("0.5"))
    runs.retry_later(held(again), ERROR, at=LATER, now=LATER, usage=used)
    assert (counts(batch), spent(batch)) == ({"queued": 1}, 750_000)

    runs.cancel(run.id, now=LATER)
    assert (counts(batch), spent(batch)) == ({"cancelled": 1}, 750_000)


def spent(batch):
    return BatchProgress.get_by_id(batch.id).agent_micros


def test_what_is_cancelled_cost_what_it_cost_and_says_nothing_of_the_others(batch):
    finish(claimed(batch), status=CANCELLED, usage=Usage(cost_usd=Decimal("0.25")))

    progress = BatchProgress.get_by_id(batch.id)
    assert (progress.agent_micros, progress.costed, progress.squared_micros) == (250_000, 0, 0)


def test_runs_of_no_batch_are_not_counted(batch):
    run = make_run(queue="local")

    runs.claim([run.id], "worker-1", lease=LEASE, now=LATER, queue="local")

    assert counts(batch) == {}


def test_the_database_refuses_counts_that_do_not_add_up(batch):
    with pytest.raises(peewee.IntegrityError):
        BatchProgress.update(completed=1).execute()


def test_the_database_refuses_more_items_than_there_are(batch):
    with pytest.raises(peewee.IntegrityError):
        BatchProgress.update(taken=4, queued=4).execute()


def test_an_item_becomes_one_run(batch):
    make_item(batch, 1)

    with pytest.raises(peewee.IntegrityError), db.transaction():
        make_item(batch, 1)


def test_an_older_end_does_not_turn_the_last_move_back(batch):
    run = claimed(batch)
    runs.finish({held(run): Outcome(status=COMPLETED)}, now=NOON)

    assert BatchProgress.get_by_id(batch.id).moved_at == LATER


def test_several_items_that_end_at_once_are_all_counted(batch):
    items = [claimed(batch, index) for index in range(3)]

    runs.finish({held(run): Outcome(status=COMPLETED) for run in items}, now=LATER)

    assert counts(batch) == {"completed": 3}
