"""What processes count is kept, summed, and never lost with the process."""

from datetime import timedelta

import pytest
from factories import NOON

from shared import tally
from shared.models import Tally
from shared.tally import Count

pytestmark = pytest.mark.usefixtures("database", "nothing_counted")

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
