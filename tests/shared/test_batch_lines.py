"""Which items of batches go, when they become runs, and how batches share their machines."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import dramatiq
import pytest
from factories import (
    LEASE,
    MINUTE,
    NOON,
    make_agent,
    make_batch,
    make_run,
    make_worker,
)

from shared import messages, runs
from shared.attempts import Lease, Outcome, Usage, failure
from shared.batches import lines, moves
from shared.batches.lines import BatchLines
from shared.batches.models import Batch, BatchProgress
from shared.dispatch import Dispatcher
from shared.models import Agent, Run
from shared.states import (
    COMPLETED,
    QUEUED,
    ApprovalPolicy,
    BatchReason,
    BatchStatus,
    ErrorCode,
    Trigger,
)

pytestmark = pytest.mark.usefixtures("database")

RESEND_AFTER = timedelta(seconds=30)


@pytest.fixture
def client(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def make_dispatcher(client):
    def make(window=100, queue="local"):
        lines = BatchLines(queue)
        return Dispatcher(client, window=window, resend_after=RESEND_AFTER, lines=lines)

    return make


@pytest.fixture
def dispatcher(make_dispatcher):
    return make_dispatcher()


@pytest.fixture(autouse=True)
def worker(database):
    """A worker with threads for all."""
    return make_worker(queues=["local"])


def sent(client, queue="local"):
    """The ids of the runs that wait in Redis, in order."""
    keys = client.lrange(f"agent-manager:{queue}", 0, -1)
    bodies = client.hmget(f"agent-manager:{queue}.msgs", keys) if keys else []
    return [UUID(dramatiq.Message.decode(body).args[0]) for body in bodies]


def indexes(run_ids):
    return [Run.get_by_id(run_id).item_index for run_id in run_ids]


def owners(run_ids):
    return Counter(Run.get_by_id(run_id).batch_id for run_id in run_ids)


def claim_all(client, now=NOON):
    """Claim whatever waits in Redis."""
    run_ids = sent(client)
    client.flushall()
    return runs.claim(run_ids, "worker-1", lease=LEASE, now=now, queue="local")


def finish_all(claimed, now=NOON):
    runs.finish(
        {Lease(each.id, each.attempt): Outcome(status=COMPLETED) for each in claimed}, now=now
    )


def progress(batch):
    return BatchProgress.get_by_id(batch.id)


def test_an_item_becomes_a_run_with_the_orders_of_its_batch(dispatcher, client):
    batch = make_batch(items=1, timeout_seconds=7, max_attempts=2, priority=8, config={"a": 1})

    assert dispatcher.dispatch(NOON) == 1

    (run_id,) = sent(client)
    run = Run.get_by_id(run_id)
    assert (run.batch_id, run.item_index, run.message) == (batch.id, 0, "Item 0")
    assert (run.timeout_seconds, run.max_attempts, run.priority) == (7, 2, 8)
    assert (run.kind, run.config, run.agent_id) == ("echo", {"a": 1}, "echo")
    assert (run.trigger, run.status, run.queue) == (Trigger.BATCH, QUEUED, "local")
    assert (run.dispatches, run.dispatch_at) == (1, NOON + RESEND_AFTER)
    after = progress(batch)
    assert (after.taken, after.queued) == (1, 1)


def test_what_becomes_of_items_that_ask_a_person_their_batch_says(dispatcher, client):
    make_batch(items=1, approval_policy=ApprovalPolicy.DENY, approval_wait_seconds=60)

    dispatcher.dispatch(NOON)

    (run_id,) = sent(client)
    run = Run.get_by_id(run_id)
    assert (run.approval_policy, run.approval_wait_seconds) == (ApprovalPolicy.DENY, 60)


def test_items_go_in_their_order_and_each_once(make_dispatcher, client):
    make_batch(items=5)
    dispatcher = make_dispatcher(window=2)

    dispatcher.dispatch(NOON)
    first = sent(client)
    claim_all(client)
    dispatcher.dispatch(NOON)

    assert indexes(first) == [0, 1]
    assert indexes(sent(client)) == [2, 3]


def test_no_more_become_runs_than_there_is_room_for(make_dispatcher):
    make_batch(items=1000)

    assert make_dispatcher(window=10).dispatch(NOON) == 10

    assert Run.select().count() == 10


def test_a_small_batch_does_not_wait_behind_a_large_one(make_dispatcher, client):
    large = make_batch(items=1000)
    dispatcher = make_dispatcher(window=10)
    dispatcher.dispatch(NOON)
    claim_all(client)
    small = make_batch(items=5)

    dispatcher.dispatch(NOON)

    assert owners(sent(client)) == {small.id: 5, large.id: 5}


def test_batches_share_their_machines_evenly(make_dispatcher, client):
    made = [make_batch(items=100) for _ in range(3)]

    make_dispatcher(window=30).dispatch(NOON)

    assert owners(sent(client)) == {batch.id: 10 for batch in made}


def test_an_urgent_batch_goes_first_and_starves_no_other(make_dispatcher, client):
    patient = make_batch(items=100, priority=1)
    urgent = make_batch(items=100, priority=9)

    make_dispatcher(window=20).dispatch(NOON)

    assert owners(sent(client)) == {urgent.id: 18, patient.id: 2}


def test_no_more_of_a_batch_run_at_once_than_it_says(make_dispatcher, client):
    batch = make_batch(items=10, max_concurrency=2)
    dispatcher = make_dispatcher()

    dispatcher.dispatch(NOON)
    dispatcher.dispatch(NOON)
    first = claim_all(client)
    dispatcher.dispatch(NOON)
    while_two_run = sent(client)
    finish_all(first[:1])
    dispatcher.dispatch(NOON)

    assert (len(first), while_two_run) == (2, [])
    assert indexes(sent(client)) == [2]
    assert progress(batch).running == 1


def test_an_agent_s_places_are_shared_by_its_batches_and_its_other_runs(dispatcher, client):
    make_agent("narrow", max_concurrency=3)
    make_run("narrow", leased_by="worker-9")
    batches_of_it = [make_batch("narrow", items=10) for _ in range(2)]

    dispatcher.dispatch(NOON)

    assert owners(sent(client)) == {batch.id: 1 for batch in batches_of_it}


def test_items_of_another_profile_are_not_ours(dispatcher, client):
    make_batch(items=3, queue="elsewhere", compute_id="elsewhere")

    assert dispatcher.dispatch(NOON) == 0


def test_runs_of_no_batch_are_not_ours_nor_items_those_of_the_others(dispatcher, client):
    make_run(dispatches=0)
    make_batch(items=1)
    make_worker("for-runs")
    of_runs = Dispatcher(client, window=100, resend_after=RESEND_AFTER)

    of_runs.dispatch(NOON)
    dispatcher.dispatch(NOON)

    assert (len(sent(client, "runs")), len(sent(client))) == (1, 1)


def test_what_failed_for_now_goes_again_before_what_is_fresh(make_dispatcher, client):
    make_batch(items=10)
    dispatcher = make_dispatcher(window=1)
    dispatcher.dispatch(NOON)
    (claimed,) = claim_all(client)
    error = failure(ErrorCode.AGENT_ERROR, "Not now.")
    runs.retry_later(Lease(claimed.id, 1), error, at=NOON + MINUTE, now=NOON)

    dispatcher.dispatch(NOON)
    too_soon = sent(client)
    claim_all(client)
    dispatcher.dispatch(NOON + MINUTE)

    assert indexes(too_soon) == [1]
    assert indexes(sent(client)) == [0]


def test_what_was_sent_and_never_claimed_is_sent_again(dispatcher, client):
    make_batch(items=1)
    dispatcher.dispatch(NOON)
    client.flushall()

    assert dispatcher.dispatch(NOON + RESEND_AFTER / 2) == 0
    assert dispatcher.dispatch(NOON + RESEND_AFTER) == 1


def test_nothing_of_a_batch_that_is_not_accepted_goes(dispatcher):
    make_batch(items=1, accepted_at=None)

    assert dispatcher.dispatch(NOON) == 0


def test_nothing_of_a_batch_whose_agent_is_disabled_goes(dispatcher):
    make_batch(items=1)
    Agent.update(enabled=False).execute()

    assert dispatcher.dispatch(NOON) == 0


def test_nothing_of_a_batch_that_pauses_goes_nor_what_was_sent_before(dispatcher, client):
    batch = make_batch(items=300)
    dispatcher.dispatch(NOON)

    moves.pause(batch.id, BatchReason.PAUSED_BY_REQUEST, now=NOON)

    assert dispatcher.dispatch(NOON + MINUTE) == 0
    assert claim_all(client) == []
    assert Run.select().where(Run.dispatches > 0).count() == 0


def test_a_message_that_outlived_the_pause_is_refused(dispatcher, client):
    batch = make_batch(items=1)
    dispatcher.dispatch(NOON)
    Batch.update(status=BatchStatus.PAUSED, reason=BatchReason.PAUSED_BY_REQUEST).execute()

    assert claim_all(client) == []
    assert progress(batch).running == 0


def test_all_goes_on_after_the_pause(dispatcher, client):
    batch = make_batch(items=3)
    dispatcher.dispatch(NOON)
    moves.pause(batch.id, BatchReason.PAUSED_BY_REQUEST, now=NOON)
    client.flushall()

    moves.resume(batch.id, budget_usd=None, now=NOON)
    dispatcher.dispatch(NOON)

    assert sorted(indexes(sent(client))) == [0, 1, 2]


def test_nothing_starts_once_the_budget_is_spent(dispatcher, client):
    batch = make_batch(items=10, budget_usd=Decimal("0.5"))
    dispatcher.dispatch(NOON)
    waiting = sent(client)
    client.flushall()
    (first,) = runs.claim(waiting[:1], "worker-1", lease=LEASE, now=NOON, queue="local")
    outcome = Outcome(status=COMPLETED, usage=Usage(cost_usd=Decimal("0.5")))
    runs.finish({Lease(first.id, 1): outcome}, now=NOON)

    assert runs.claim(waiting[1:], "worker-1", lease=LEASE, now=NOON, queue="local") == []
    assert dispatcher.dispatch(NOON) == 0
    assert progress(batch).completed == 1


def test_a_worker_of_another_queue_gets_nothing_of_it(dispatcher, client):
    make_batch(items=1)
    dispatcher.dispatch(NOON)

    assert runs.claim(sent(client), "worker-1", lease=LEASE, now=NOON) == []


def test_what_could_not_be_sent_waits_to_be_sent(make_dispatcher, client, monkeypatch):
    make_batch(items=2)
    dispatcher = make_dispatcher()
    monkeypatch.setattr(messages, "send", _refuse)
    with pytest.raises(messages.redis.RedisError):
        dispatcher.dispatch(NOON)
    monkeypatch.undo()

    assert dispatcher.dispatch(NOON) == 2
    assert sorted(indexes(sent(client))) == [0, 1]


def _refuse(*_):
    raise messages.redis.RedisError("It is full.")


def test_a_million_items_cost_a_dispatch_no_more_than_its_room(make_dispatcher):
    batch = make_batch(items=0)
    BatchProgress.update(total=1_000_000).execute()

    # There are no rows for them: whoever wrote them out would have noticed.
    make_dispatcher(window=5).dispatch(NOON)

    assert progress(batch).taken == 5


def test_those_behind_the_first_ones_have_their_turn_as_well(monkeypatch, dispatcher, client):
    monkeypatch.setattr(lines, "_MOST_LINES", 2)
    full = [make_batch(items=2, max_concurrency=1) for _ in range(3)]
    others = [make_batch(items=1) for _ in range(2)]

    for _ in range(5):
        dispatcher.dispatch(NOON)

    assert owners(sent(client)) == {batch.id: 1 for batch in [*full, *others]}
