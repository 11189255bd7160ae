"""What several processes do to batches at once, on PostgreSQL: each thread has a connection.

SQLite's writing transactions exclude each other as a whole; there is nothing to interleave.
"""

import random
from functools import partial

import pytest
from factories import LEASE, NOON, make_agent, make_batch, make_run, make_worker

from shared import compute, db, messages, runs
from shared.attempts import Lease, Outcome
from shared.batches import moves
from shared.batches.lines import BatchLines
from shared.batches.models import BatchProgress
from shared.batches.oversight import Overseer
from shared.dispatch import Dispatcher
from shared.errors import Invalid
from shared.models import Run
from shared.states import COMPLETED, BatchReason

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
]


@pytest.fixture
def send(valkey):
    """Dispatch what there is of batches, as another scheduler each time."""
    make_worker(queues=["local"])
    with messages.publisher(valkey) as client:

        def dispatch(window=1000):
            lines = BatchLines("local")
            return Dispatcher(client, window=window, resend_after=LEASE, lines=lines).dispatch(NOON)

        yield dispatch


def make_items(batch, count):
    """Items that became runs, and count as what they are."""
    made = [make_run(batch=batch, item_index=n, queue="local").id for n in range(count)]
    BatchProgress.update(taken=count, queued=count).where(BatchProgress.batch == batch).execute()
    return made


def claim(run_ids, worker="worker-1"):
    claimed = runs.claim(run_ids, worker, lease=LEASE, now=NOON, queue="local")
    return [Lease(run.id, run.attempt) for run in claimed]


def finish(leases):
    if leases:
        runs.finish({lease: Outcome(status=COMPLETED) for lease in leases}, now=NOON)


def counted(batch):
    progress = BatchProgress.get_by_id(batch.id)
    return progress.queued, progress.running, progress.completed, progress.cancelled


def test_dispatchers_at_once_make_each_item_one_run(at_once, send):
    batch = make_batch(items=500)

    at_once(send, send, send, send)
    send()

    indexes = sorted(run.item_index for run in Run.select())
    assert indexes == list(range(500))
    assert counted(batch) == (500, 0, 0, 0)


def test_dispatchers_at_once_give_no_place_of_a_batch_or_an_agent_away_twice(at_once, send):
    make_agent("narrow", max_concurrency=5)
    narrow = [make_batch("narrow", items=50, max_concurrency=3) for _ in range(2)]

    at_once(send, send, send, send)
    send()

    sent = [Run.select().where(Run.batch == batch).count() for batch in narrow]
    assert sum(sent) == 5
    assert max(sent) == 3


def test_who_moves_items_of_several_batches_waits_for_nobody_in_a_circle(at_once):
    # In many orders, as workers do; PostgreSQL ends one of two that wait for each other.
    several = [make_batch(items=0) for _ in range(4)]
    BatchProgress.update(total=40).execute()
    items = [run_id for batch in several for run_id in make_items(batch, 40)]
    random.Random(7).shuffle(items)
    hands = [items[start::8] for start in range(8)]

    def work(hand, worker):
        for start in range(0, len(hand), 5):
            finish(claim(hand[start : start + 5], worker))

    at_once(*(lambda hand=hand, n=n: work(hand, f"worker-{n}") for n, hand in enumerate(hands)))

    assert [counted(batch) for batch in several] == [(0, 0, 40, 0)] * 4


def test_a_batch_that_is_ended_while_its_items_move_loses_none(at_once, send):
    batch = make_batch(items=300)
    send(100)
    waiting = [run.id for run in Run.select()]
    held = claim(waiting[:50])

    def end():
        moves.end(batch.id, BatchReason.CANCELLED_BY_REQUEST, now=NOON)

    at_once(
        end,
        lambda: send(100),
        lambda: finish(held),
        lambda: claim(waiting[50:80]),
        lambda: send(100),
        lambda: claim(waiting[60:100], "worker-2"),
    )
    Overseer(LEASE).attend(NOON)
    left = [Lease(run.id, run.attempt) for run in Run.select().where(Run.leased_by.is_null(False))]
    finish(left)
    Overseer(LEASE).attend(NOON)

    progress = BatchProgress.get_by_id(batch.id)
    assert progress.total == 300
    assert progress.dropped + progress.completed + progress.cancelled == 300
    assert (progress.queued, progress.running) == (0, 0)
    assert Run.select().count() == progress.taken
    assert moves.get(batch.id).finished_at is not None


def test_overseers_at_once_end_a_batch_once(at_once):
    make_agent("webhook")
    batch = make_batch(items=0, notify_agent_id="webhook")
    finish(claim(make_items_of(batch)))

    at_once(*[lambda: Overseer(LEASE).attend(NOON)] * 4)

    assert Run.select().where(Run.agent_id == "webhook").count() == 1


def make_items_of(batch):
    BatchProgress.update(total=3).execute()
    return make_items(batch, 3)


def test_a_queue_goes_to_one_profile_though_many_that_were_deleted_want_it(at_once):
    names = [f"large-{number}" for number in range(8)]
    with db.transaction():
        for name in names:
            compute.create(name, {}, now=NOON)
            compute.delete(compute.locked(name), now=NOON)

    def take(name):
        try:
            with db.transaction():
                compute.create(name, {"queue": "large"}, now=NOON)
        except Invalid as error:
            return error.fields.keys()
        return None

    refused = [each for each in at_once(*[partial(take, name) for name in names]) if each]

    assert refused == [{"queue"}] * 7
