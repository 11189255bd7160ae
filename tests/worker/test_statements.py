"""What a run costs the database on its way, when nothing goes wrong."""

import pytest
from factories import NOON, make_run, make_schedule, make_worker
from statements import counted

from scheduler.tick import tick
from shared import messages
from shared.dispatch import Dispatcher
from shared.models import Run
from shared.processes import Alive
from shared.states import COMPLETED
from worker.heartbeat import Heartbeat
from worker.runner import Runner

RUNS = 40
MOST_STATEMENTS = 4
MOST_COMMITS = 2


@pytest.fixture(autouse=True)
def worker(database):
    """A worker with threads for all."""
    return make_worker()


@pytest.fixture
def dispatcher(settings):
    with messages.publisher(settings.redis_url) as client:
        dispatcher = Dispatcher(client, window=RUNS, resend_after=settings.resend_after)
        dispatcher.dispatch(NOON)
        yield dispatcher


@pytest.fixture
def execute(settings):
    """Execute runs, fetched one by one."""
    heartbeat = Heartbeat(
        "worker-1",
        lease=settings.run_lease,
        interval=settings.heartbeat_interval,
        alive=lambda: Alive(threads=4, consumers=1),
    )
    runner = Runner("worker-1", settings, heartbeat)
    runner.start()

    def execute(run_ids):
        for run_id in run_ids:
            assert runner.take([run_id]) == [run_id]
            runner.execute(run_id)
        runner.close()

    return execute


def run_ids():
    return [run.id for run in Run.select(Run.id)]


def completed():
    return Run.select().where(Run.status == COMPLETED).count()


def test_a_run_of_a_schedule_costs_at_most_four_statements_and_two_commits(
    database, dispatcher, execute
):
    for _ in range(RUNS):
        make_schedule()

    with counted(database) as recorded:
        tick(NOON, dispatcher, batch=RUNS + 1)
    made = run_ids()
    with counted(database) as executed:
        execute(made)

    assert completed() == RUNS
    statements = recorded.statements.total() + executed.statements.total()
    assert RUNS < statements <= MOST_STATEMENTS * RUNS
    assert 0 < executed.commits.total() <= MOST_COMMITS * RUNS
    assert recorded.commits.total() == 1


def test_a_queued_run_costs_at_most_four_statements_and_two_commits(database, dispatcher, execute):
    for _ in range(RUNS):
        make_run(dispatches=0)

    with counted(database) as sent:
        dispatcher.dispatch(NOON)
    made = run_ids()
    with counted(database) as executed:
        execute(made)

    assert completed() == RUNS
    statements = sent.statements.total() + executed.statements.total()
    assert RUNS < statements <= MOST_STATEMENTS * RUNS
    assert 0 < executed.commits.total() <= MOST_COMMITS * RUNS
    assert sent.commits.total() == 1
