"""The clock that all schedulers go by."""

from datetime import timedelta

import pytest

from shared import clock, db, reference
from shared.reference import ReferenceClock

pytestmark = pytest.mark.usefixtures("database")

TWO_MINUTES = timedelta(minutes=2)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("off", [TWO_MINUTES, -TWO_MINUTES])
def test_a_host_whose_clock_is_off_goes_by_the_database(off):
    told = ReferenceClock(lambda: clock.now() + off)

    told.look()
    before, (theirs,) = told.now(), db.execute("SELECT clock_timestamp()").fetchone()

    # Late by as much as the answer took, never early.
    assert before <= theirs < before + timedelta(seconds=5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_goes_by_the_clock_of_its_host():
    assert reference.ahead(lambda: clock.now() + TWO_MINUTES) == timedelta()
