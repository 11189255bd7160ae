"""What waits in each queue, who works there, and how many would be wanted."""

from datetime import timedelta

import pytest
from factories import MINUTE, NOON, make_agent, make_batch, make_run, make_worker

from shared import compute, db, queues
from shared.batches.models import BatchProgress
from shared.errors import NotFound
from shared.models import Agent
from shared.states import PAUSED, BatchReason, BatchStatus

pytestmark = pytest.mark.usefixtures("database")

PAUSES = {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST}


def make_profile(id, **fields):
    compute.create(id, fields, now=NOON)


def make_crew(queue, *threads):
    """Live workers of *queue*, with so many threads each."""
    for number, each in enumerate(threads):
        make_worker(f"{queue}-{number}", threads=each, queues=[queue])


def make_going(*, waiting, queued=0, running=0, completed=0, **values):
    """A batch of which so many items wait, *queued* of them as runs."""
    taken = queued + running + completed
    batch = make_batch(items=waiting - queued + taken, **values)
    BatchProgress.update(taken=taken, queued=queued, running=running, completed=completed).where(
        BatchProgress.batch == batch
    ).execute()
    return batch


def queue(name="local", *, now=NOON, threads=4):
    return queues.one(name, now, threads_of_a_worker=threads)


def test_the_queue_of_schedules_comes_first_and_then_those_of_the_profiles():
    make_profile("spot-large", queue="a-large-one", max_workers=20)
    make_profile("gone")
    with db.transaction():
        compute.delete(compute.locked("gone"), now=NOON)

    found = queues.all_queues(NOON, threads_of_a_worker=4)

    assert [(each.name, each.compute, each.max_workers) for each in found] == [
        ("runs", None, None),
        ("local", "local", None),
        ("a-large-one", "spot-large", 20),
    ]
    assert {each[2:-1] for each in found} == {(0, None, 0, 0, 0, 0)}


@pytest.mark.parametrize("name", ["nowhere", "gone", "spot-large"])
def test_what_is_no_queue_is_not_found(name):
    make_profile("spot-large", queue="a-large-one")
    make_profile("gone")
    with db.transaction():
        compute.delete(compute.locked("gone"), now=NOON)

    with pytest.raises(NotFound, match=f"There is no queue {name}."):
        queue(name)


def test_runs_wait_once_their_time_has_come():
    for minutes in (3, 7, 0, -1):
        make_run(available_at=NOON - minutes * MINUTE)
    make_run("another", available_at=NOON - 5 * MINUTE, dispatches=0)
    make_run(status=PAUSED, available_at=NOON - 9 * MINUTE)
    make_run(leased_by="runs-0", available_at=NOON - 9 * MINUTE)

    found = queue("runs")

    assert (found.depth, found.running) == (4, 1)
    assert found.waiting_since == NOON - 7 * MINUTE
    assert found.oldest_age(NOON) == 7 * MINUTE
    assert found.wanted_workers == 2


def test_what_has_yet_to_come_does_not_wait():
    make_run(available_at=NOON + MINUTE)

    found = queue("runs")

    assert (found.depth, found.waiting_since, found.wanted_workers) == (0, None, 0)
    assert found.oldest_age(NOON) == timedelta()


def test_nothing_has_waited_for_less_than_no_time_whatever_a_clock_says():
    make_going(waiting=1, accepted_at=NOON + MINUTE)

    assert queue().oldest_age(NOON) == timedelta()


def test_items_of_batches_wait_in_the_queue_of_their_profile():
    make_profile("spot-large")
    make_going(waiting=5, queued=2, running=1, completed=3, accepted_at=NOON - 7 * MINUTE)
    make_going(waiting=2, accepted_at=NOON - 9 * MINUTE)
    make_going(waiting=0, running=1, accepted_at=NOON - 11 * MINUTE)
    make_going(waiting=3, queue="spot-large", compute_id="spot-large")
    make_run(batch=make_going(waiting=0, running=1), item_index=0, queue="local", leased_by="w")

    assert (queue().depth, queue().running) == (7, 1)
    assert queue().oldest_age(NOON) == 9 * MINUTE
    assert queue("spot-large").depth == 3
    assert queue("runs").depth == queue("runs").running == 0


@pytest.mark.parametrize(
    "values",
    [
        PAUSES,
        {"ending_at": NOON},
        {"accepted_at": None},
        {"status": BatchStatus.COMPLETED, "finished_at": NOON},
    ],
    ids=lambda values: ", ".join(values),
)
def test_a_batch_of_which_nothing_starts_wants_nothing(values):
    make_going(waiting=5, queued=1, **values)

    assert (queue().depth, queue().waiting_since, queue().wanted_workers) == (0, None, 0)


def test_a_batch_of_an_agent_that_is_disabled_wants_nothing():
    make_going(waiting=5, queued=1)
    Agent.update(enabled=False).execute()

    assert (queue().depth, queue().waiting_since, queue().wanted_workers) == (0, None, 0)


def test_what_runs_of_a_batch_that_pauses_keeps_its_workers():
    make_going(waiting=50, running=5, **PAUSES)

    assert (queue().depth, queue().wanted_workers) == (0, 2)


def test_the_workers_are_those_that_are_alive_and_their_threads_as_well():
    make_crew("local", 4, 8)
    make_crew("runs", 2)
    make_worker("silent", queues=["local"], heartbeat_at=NOON - 2 * MINUTE)
    make_worker("ended", queues=["local"], stopped_at=NOON)
    make_worker("with-dead-threads", queues=["local"], threads=5, threads_alive=1)

    assert (queue().workers, queue().threads) == (3, 13)
    assert (queue("runs").workers, queue("runs").threads) == (1, 2)


@pytest.mark.parametrize(
    ("waiting", "running", "crew", "wanted"),
    [
        (0, 0, (), 0),
        (0, 0, (4,), 0),
        (1, 0, (), 1),
        # Nobody is there who would tell: four threads each.
        (8, 0, (), 2),
        (9, 0, (), 3),
        # As large as those that are there.
        (9, 0, (3,), 3),
        (7, 2, (2, 4), 3),
        (0, 9, (3, 3, 3), 3),
        (10, 0, (3, 3, 4), 3),
        (0, 17, (2, 2, 2, 2, 3, 3, 3), 7),
        (1, 17, (2, 2, 2, 2, 3, 3, 3), 8),
        # All of whose threads are dead.
        (8, 0, (0,), 2),
    ],
)
def test_as_many_workers_are_wanted_as_would_run_all_of_it_at_once(waiting, running, crew, wanted):
    make_going(waiting=waiting, running=running)
    for _ in range(waiting):
        make_run()
    for _ in range(running):
        make_run(leased_by="runs-0")
    for name in ("local", "runs"):
        make_crew(name, *crew)

    assert [queue(name).wanted_workers for name in ("local", "runs")] == [wanted, wanted]


def test_no_more_are_wanted_than_the_profile_allows():
    make_profile("spot-large", max_workers=3)
    make_going(waiting=100, queue="spot-large", compute_id="spot-large")

    assert (queue("spot-large").depth, queue("spot-large").wanted_workers) == (100, 3)


@pytest.mark.parametrize("of_the_agent", [False, True])
def test_no_more_are_wanted_than_batches_and_their_agents_allow(of_the_agent):
    make_agent("busy", max_concurrency=9 if of_the_agent else None)
    make_going(agent="busy", waiting=100, running=2, max_concurrency=6)
    make_going(agent="busy", waiting=5, max_concurrency=20)
    make_going(waiting=2)

    assert queue(threads=1).wanted_workers == (9 if of_the_agent else 6 + 5) + 2
    assert queue().depth == 107
