"""What the checker says of batches: a sound history passes, and each forgery is found out."""

from dataclasses import replace

import pytest
from factories import NOON, make_batch, make_run
from forging import History
from witness import Witness

from shared.batches.models import Batch, BatchProgress
from shared.models import Run
from shared.states import CANCELLED, COMPLETED, BatchStatus

NAME = "Batch [0-9a-f-]+"


@pytest.fixture
def history(database, database_url):
    return History(database_url)


@pytest.fixture
def batch(history):
    """A batch of four items: two completed, one was cancelled, and one never became a run."""
    made = make_batch(items=4, status=BatchStatus.CANCELLED, finished_at=NOON, ending_at=NOON)
    for index, status in enumerate((COMPLETED, COMPLETED, CANCELLED)):
        make_item(made, index, status)
    BatchProgress.update(taken=3, completed=2, cancelled=1, dropped=1).execute()
    return made


def make_item(batch, index, status):
    return make_run(
        batch=batch,
        item_index=index,
        status=status,
        attempt=0,
        finished_at=NOON,
        cancel_requested_at=NOON if status is CANCELLED else None,
    )


def with_batch(snapshot, **values):
    """*snapshot* with another row for its batch."""
    (row,) = snapshot.batches.values()
    return replace(snapshot, batches={row["id"]: {**row, **values}})


def caught(history, says, **values):
    """Have the checker find out what *says* describes of the batch with those *values*."""
    with pytest.raises(pytest.fail.Exception, match=says):
        history.check(lambda snapshot: with_batch(snapshot, **values))


def test_a_sound_history_passes(history, batch):
    history.check(accepted=[str(batch.id)])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"completed": 3}, f"{NAME} counts 3 completed, and there are 2"),
        ({"running": 1}, f"{NAME} counts 1 running, and there are 0"),
        ({"taken": 4}, f"{NAME} has taken 4 items, and there are 3 runs"),
        ({"accepted_at": None}, f"{NAME} is not accepted, and 3 of its items have become runs"),
        ({"total": 5}, f"{NAME} is CANCELLED; it has 4 items, and says 5"),
        ({"dropped": 0}, f"{NAME} is CANCELLED; item key-3 has 0 final records"),
        ({"taken": 2, "dropped": 2}, f"{NAME} is CANCELLED; item key-2 has 2 final records"),
        ({"status": "RUNNING"}, f"{NAME} is RUNNING still"),
    ],
)
def test_counts_that_are_not_so_are_caught(history, batch, values, says):
    caught(history, says, **values)


def test_an_item_that_became_two_runs_is_caught(history, batch):
    def twice(snapshot):
        last = max(snapshot.runs.values(), key=lambda run: run["item_index"])
        other = {**last, "id": "f" * 32, "item_index": 0}
        return replace(snapshot, runs={**snapshot.runs, other["id"]: other})

    with pytest.raises(pytest.fail.Exception, match=f"{NAME} has made 2 runs of item 0"):
        history.check(twice)


def test_a_batch_that_is_not_there_is_caught(history, batch):
    with pytest.raises(pytest.fail.Exception, match="There are runs of batch"):
        history.check(lambda snapshot: replace(snapshot, batches={}))


def test_a_crowd_beyond_what_a_batch_takes_is_caught(history):
    batch = make_batch(items=3, max_concurrency=2, status=BatchStatus.RUNNING)
    for index in range(3):
        make_run(batch=batch, item_index=index)
    BatchProgress.update(taken=3, queued=3).execute()

    with pytest.raises(pytest.fail.Exception, match=r"3 items of batch .* go on, 2 may"):
        history.check(settled=False)


@pytest.mark.parametrize(
    ("table", "values", "says"),
    [
        (BatchProgress, {"dropped": 0}, f"{NAME} had ended, and was changed"),
        (Batch, {"finished_at": None, "status": "RUNNING"}, f"{NAME} had ended, and was changed"),
    ],
)
def test_what_had_ended_and_changes_is_seen(history, batch, database_url, table, values, says):
    witness = Witness(database_url)
    witness.look()
    table.update(**values).execute()

    witness.look()

    assert any(says.removeprefix(NAME) in broken for broken in witness.broken)


def test_progress_that_falls_is_seen(history, batch, database_url):
    Batch.update(finished_at=None, status=BatchStatus.RUNNING).execute()
    witness = Witness(database_url)
    witness.look()
    gone = Run.get(Run.item_index == 1)
    Run.delete().where(Run.id == gone.id).execute()
    BatchProgress.update(taken=2, completed=1).execute()

    witness.look()

    assert any("went back from 4 to 3 items that have ended" in each for each in witness.broken)


def test_counts_that_do_not_add_up_for_a_moment_are_seen(history, batch, database_url):
    Run.delete().where(Run.item_index == 1).execute()
    witness = Witness(database_url)

    witness.look()

    assert any("counts 2 completed, and there are 1" in each for each in witness.broken)
