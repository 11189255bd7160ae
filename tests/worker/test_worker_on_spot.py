"""Real workers for a compute profile, and what they do when their machine is taken away."""

import signal
from decimal import Decimal

import pytest
from factories import make_batch, make_run
from waiting import wait_until

from shared import clock, messages, runs
from shared.batches.models import BatchProgress, BatchWorker
from shared.messages import Sending
from shared.models import Run, Worker
from shared.states import COMPLETED, QUEUED, RUNNING

# A cent a second, among the four threads of a worker.
PRICE = Decimal("36")
THREADS = 4


@pytest.fixture
def redis(valkey):
    with messages.publisher(valkey) as client:
        yield client


@pytest.fixture
def batch(database):
    return make_batch(items=3, price_per_hour=PRICE)


@pytest.fixture
def send_item(batch, redis):
    """Makes a run of the next item of the batch, on its way to the workers of its profile."""

    def send(*, seconds=0):
        index = BatchProgress.get_by_id(batch.id).taken
        run = make_run(
            batch=batch,
            item_index=index,
            queue=batch.queue,
            config={"delaySeconds": seconds},
        )
        counted = BatchProgress.taken + 1, BatchProgress.queued + 1
        BatchProgress.update(taken=counted[0], queued=counted[1]).execute()
        messages.send(redis, batch.queue, [Sending(run.id.hex, 0)])
        return run.id

    return send


@pytest.fixture
def notice(system, tmp_path_factory):
    """The file that is the notice, once it is there; workers watch for it."""
    file = tmp_path_factory.mktemp("machine") / "notice"
    system.environ["AGENT_MANAGER_SPOT_NOTICE"] = str(file)
    system.environ["AGENT_MANAGER_SPOT_NOTICE_INTERVAL"] = "0.1"
    return file


def wait_for(run_id, status):
    return wait_until(
        lambda: (run := runs.get(run_id)).status is status and run, f"the run to be {status}"
    )


def wait_for_the_end_of(process, system):
    wait_until(lambda: "waits for the end of its machine" in system.logs(), "it to have drained")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    return process.wait(10)


@pytest.mark.parametrize(
    ("kind", "own", "other"), [("batch", "local", "runs"), ("worker", "runs", "local")]
)
def test_a_worker_takes_what_is_of_its_own_queue_and_nothing_else(
    kind, own, other, system, redis, batch
):
    foreign = make_run(queue=other, batch=batch if other == "local" else None, item_index=0)
    # Not even what was sent to the wrong queue.
    for queue in (other, own):
        messages.send(redis, queue, [Sending(foreign.id.hex, 0)])
    mine = make_run(queue=own, batch=batch if own == "local" else None, item_index=1)
    BatchProgress.update(taken=1, queued=1).execute()
    messages.send(redis, own, [Sending(mine.id.hex, 0)])

    system.start(kind)

    wait_for(mine.id, COMPLETED)
    assert (runs.get(foreign.id).status, runs.get(foreign.id).attempt) == (QUEUED, 0)
    assert [messages.waiting(redis, queue) for queue in (own, other)] == [0, 1]
    assert Worker.get().queues == [own]


def test_a_worker_says_for_which_profile_it_works_and_on_what(system, batch, send_item):
    system.environ["AGENT_MANAGER_INSTANCE_TYPE"] = "m7i.large"
    system.environ["AGENT_MANAGER_REGION"] = "eu-central-1"
    run_id = send_item()

    system.start("batch")
    wait_for(run_id, COMPLETED)

    worker = Worker.get()
    assert (worker.compute_id, worker.queues, worker.threads) == ("local", ["local"], THREADS)
    named = {"instanceType": "m7i.large", "region": "eu-central-1", "threads": THREADS}
    assert worker.hardware.items() >= named.items()
    assert worker.hardware["vcpu"] > 0
    assert worker.hardware["memoryMb"] > 0
    assert [(each.batch_id, each.worker_id, each.hardware) for each in BatchWorker.select()] == [
        (batch.id, worker.id, worker.hardware)
    ]


def test_a_worker_for_no_profile_says_what_it_runs_on_all_the_same(system):
    system.start("worker")

    worker = wait_until(Worker.get_or_none, "the worker to begin")
    assert (worker.compute_id, worker.hardware["instanceType"]) == (None, None)


def test_a_worker_for_a_profile_that_is_not_there_ends_and_says_so(system):
    process = system.start("worker", environ={"AGENT_MANAGER_COMPUTE": "nowhere"})

    assert process.wait(30) == 1
    assert "There is no compute profile 'nowhere'; use local." in system.logs()
    assert "Traceback" not in system.logs()
    assert not Worker.select().exists()


def test_what_an_attempt_takes_has_its_price(system, batch, send_item):
    began = clock.monotonic()
    run_id = send_item(seconds=1)

    system.start("batch")
    run = wait_for(run_id, COMPLETED)

    most = Decimal(clock.monotonic() - began)
    assert PRICE / 3600 / THREADS <= run.compute_usd <= most * PRICE / 3600 / THREADS
    progress = BatchProgress.get_by_id(batch.id)
    assert progress.compute_micros == run.compute_usd * 1_000_000
    assert progress.interruptions == 0


def test_time_that_has_no_price_costs_nothing(system, send_item, batch):
    batch.price_per_hour = None
    batch.save()
    run_id = send_item()

    system.start("batch")

    assert wait_for(run_id, COMPLETED).compute_usd is None


def test_on_the_notice_a_worker_puts_back_what_it_holds_and_waits_for_its_end(
    system, notice, batch, redis, send_item
):
    held = [send_item(seconds=60) for _ in range(2)]
    process = system.start("batch")
    for run_id in held:
        wait_for(run_id, RUNNING)

    notice.touch()

    after = [wait_for(run_id, QUEUED) for run_id in held]
    assert [(run.attempt, run.uncounted, run.dispatches) for run in after] == [(1, 1, 0)] * 2
    assert all(run.compute_usd > 0 for run in after)
    progress = BatchProgress.get_by_id(batch.id)
    assert (progress.queued, progress.interruptions) == (2, 2)
    assert progress.interrupted_micros == sum(run.compute_usd for run in after) * 1_000_000
    wait_until(lambda: Worker.get_or_none(Worker.stopped_at.is_null(False)), "it to be stopped")

    late = send_item()
    assert wait_for_the_end_of(process, system) == 0
    assert (runs.get(late).status, runs.get(late).attempt) == (QUEUED, 0)
    assert messages.waiting(redis, "local") == 1


def test_what_a_machine_that_is_taken_away_put_back_another_takes(system, notice, send_item):
    run_id = send_item(seconds=60)
    process = system.start("batch")
    first = wait_for(run_id, RUNNING).worker_id
    notice.touch()
    wait_for(run_id, QUEUED)

    Run.update(config={}).execute()
    system.start("scheduler")
    system.start("batch", environ={"AGENT_MANAGER_SPOT_NOTICE": ""})

    run = wait_for(run_id, COMPLETED)
    assert (run.attempt, run.uncounted) == (2, 1)
    assert run.worker_id != first
    assert process.poll() is None


def test_a_worker_whose_machine_goes_from_the_start_begins_with_nothing(
    system, notice, redis, send_item
):
    run_id = send_item()
    notice.touch()

    process = system.start("batch")

    assert wait_for_the_end_of(process, system) == 0
    assert (runs.get(run_id).status, runs.get(run_id).attempt) == (QUEUED, 0)
    assert messages.waiting(redis, "local") == 1
    assert not Worker.select().exists()
