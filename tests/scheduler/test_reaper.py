"""Leases that nobody renews, on a clock that nobody can set."""

from datetime import timedelta

import pytest
from factories import LEASE, NOON, make_run, status_of

from scheduler.reaper import Reaper
from shared import leases
from shared.states import QUEUED, RUNNING

pytestmark = pytest.mark.usefixtures("database")

# Of the monotonic clock, in seconds.
START = 1000.0
LAPSED = START + LEASE.total_seconds()


@pytest.fixture
def reap():
    """A look of one and the same reaper at all leases; how many runs it took."""
    reaper = Reaper(LEASE)

    def look(moment, now=NOON):
        return reaper.reap(leases.held(), now=now, moment=moment)

    return look


def test_a_lease_that_was_not_renewed_for_as_long_as_it_holds_is_reaped(reap):
    lost = [make_run(leased_by=f"worker-{number}") for number in range(3)]

    assert reap(START) == 0
    assert reap(LAPSED - 0.001) == 0
    assert reap(LAPSED) == 3

    assert {status_of(run.id) for run in lost} == {QUEUED}


def test_a_lease_that_is_renewed_in_time_is_never_reaped(reap):
    run = make_run(leased_by="worker-1")
    reap(START)

    leases.renew("worker-1", [run.id], until=NOON + 2 * LEASE)

    assert reap(LAPSED) == 0
    assert status_of(run.id) is RUNNING
    assert reap(LAPSED + LEASE.total_seconds()) == 1


@pytest.mark.parametrize("hours", [-2, 2])
def test_what_the_clocks_of_hosts_say_does_not_matter(reap, hours):
    run = make_run(leased_by="worker-1", lease_until=NOON + timedelta(hours=hours))

    assert reap(START, now=NOON) == 0
    assert reap(LAPSED - 1, now=NOON + timedelta(hours=3)) == 0
    assert status_of(run.id) is RUNNING
    assert reap(LAPSED, now=NOON) == 1


def test_a_reaper_that_has_just_started_looks_for_as_long_as_a_lease_holds(reap):
    make_run(leased_by="worker-1", lease_until=NOON - timedelta(days=1))

    assert reap(START) == 0
    assert reap(LAPSED) == 1
