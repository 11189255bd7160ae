"""What processes count is kept, summed, and never lost with the process."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from factories import NOON
from peewee import OperationalError

from shared import db, tally
from shared.db import stamp
from shared.models import Tally
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("database", "nothing_counted")

SECOND = timedelta(seconds=1)
LONG = timedelta(days=2)


@pytest.fixture
def nothing_counted(monkeypatch):
    monkeypatch.setattr(tally, "_book", tally._Book())


def kept(process_id, updated_at=NOON, latest=None, **counts):
    Tally.create(process_id=process_id, counts=counts, latest=latest or {}, updated_at=updated_at)


def test_what_was_counted_is_kept_under_the_process(monkeypatch):
    tally.add(Count.RESENDS)
    tally.add(Count.RESENDS, 2)
    tally.save("worker-1", now=NOON)
    tally.add(Count.FAILED_SENDS)
    tally.save("worker-1", now=NOON)

    assert Tally.get_by_id("worker-1").counts == {"resends": 3, "failed_sends": 1}


def test_nothing_is_written_while_nothing_changes():
    tally.add(Count.RESENDS)
    tally.save("worker-1", now=NOON)

    tally.save("worker-1", now=NOON + LONG)

    assert Tally.get_by_id("worker-1").updated_at == NOON


def test_the_total_is_over_all_processes_and_knows_every_count():
    kept("worker-1", resends=2)
    kept("scheduler-1", resends=1, failed_sends=4)

    total = tally.total()

    assert total.keys() == set(Count)
    assert (total[Count.RESENDS], total[Count.FAILED_SENDS], total[Count.CLOCK_STEPS]) == (3, 4, 0)


def test_the_counts_of_processes_that_are_gone_stay_in_the_total():
    kept("worker-1", resends=2)
    kept("worker-2", resends=3)
    kept(tally.GONE, resends=10)
    tally.add(Count.RESENDS)

    tally.save("worker-3", now=NOON + LONG)

    assert tally.total()[Count.RESENDS] == 16
    assert {each.process_id for each in Tally.select()} == {tally.GONE, "worker-3"}


def test_a_process_that_was_taken_for_gone_counts_nothing_twice():
    another = tally._Book()
    another.add(Count.FAILED_SENDS, 1)
    tally.add(Count.RESENDS, 3)
    tally.save("worker-1", now=NOON)
    another.save("worker-2", NOON + LONG)

    for _ in range(2):
        tally.add(Count.RESENDS)
        tally.save("worker-1", now=NOON + LONG)

    assert tally.total()[Count.RESENDS] == 5
    assert Tally.get_by_id("worker-1").counts == {"resends": 2}


def test_what_may_or_may_not_have_been_written_down_is_counted_once(monkeypatch):
    tally.add(Count.RESENDS)

    @contextmanager
    def answer_to_commit_lost():
        with transaction():
            yield
        raise OperationalError("gone")

    transaction = db.transaction
    monkeypatch.setattr(db, "transaction", answer_to_commit_lost)
    with pytest.raises(OperationalError):
        tally.save("worker-1", now=NOON)
    monkeypatch.setattr(db, "transaction", transaction)
    tally.save("worker-1", now=NOON)

    assert tally.total()[Count.RESENDS] == 1


def test_it_is_known_when_each_was_counted_last():
    kept("worker-0", updated_at=NOON - LONG, resends=1, latest={"resends": stamp(NOON - LONG)})
    kept("worker-1", failed_sends=1, latest={"failed_sends": stamp(NOON + LONG)})
    tally.add(Count.FAILED_SENDS)
    tally.save("worker-2", now=NOON)
    tally.add(Count.CLOCK_STEPS)
    tally.save("worker-2", now=NOON + SECOND)

    assert tally.latest() == {
        Count.RESENDS: NOON - LONG,
        Count.FAILED_SENDS: NOON + LONG,
        Count.CLOCK_STEPS: NOON + SECOND,
    }
