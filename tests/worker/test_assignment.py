"""Which queue a worker consumes, and which worker must not start."""

import pytest
from factories import NOON
from peewee import OperationalError

from shared import compute, db
from shared.errors import SettingsError
from shared.process import StopFlag
from shared.settings import Settings
from worker import assignment

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def stop():
    with StopFlag() as stop:
        yield stop


def queue_for(profile, stop):
    return assignment.queue(Settings(compute=profile), stop)


def make_profile(id, **fields):
    compute.create(id, fields, now=NOON)


def test_a_worker_without_a_profile_consumes_the_queue_of_schedules(stop):
    assert queue_for("", stop) == "runs"


def test_a_worker_for_a_profile_consumes_the_queue_of_that(stop):
    make_profile("spot-large", queue="large-ones")

    assert queue_for("local", stop) == "local"
    assert queue_for("spot-large", stop) == "large-ones"


@pytest.mark.parametrize("deleted", [False, True])
def test_a_profile_that_is_not_there_is_refused_with_those_that_are(stop, deleted):
    make_profile("spot-large")
    if deleted:
        make_profile("gone")
        with db.transaction():
            compute.delete(compute.locked("gone"), now=NOON)

    with pytest.raises(SettingsError) as refused:
        queue_for("gone", stop)

    assert str(refused.value) == (
        "AGENT_MANAGER_COMPUTE: There is no compute profile 'gone'; use local, spot-large."
    )


@pytest.fixture
def away(monkeypatch):
    """The database is away for as many looks as a test says; each then costs no time."""

    class Away:
        looks = 0

    usable = compute.usable

    def unreachable_at_first(*asked, **how):
        if Away.looks:
            Away.looks -= 1
            raise OperationalError("connection refused")
        return usable(*asked, **how)

    monkeypatch.setattr(compute, "usable", unreachable_at_first)
    monkeypatch.setattr(assignment, "_TRY_AGAIN_SECONDS", 0.0)
    return Away


def test_a_database_that_is_away_at_first_is_waited_for_and_that_is_said_once(stop, away, caplog):
    caplog.set_level("INFO")
    away.looks = 3

    assert queue_for("local", stop) == "local"

    assert caplog.text.count("cannot look up its compute profile") == 1
    assert caplog.text.count("can look up its compute profile again") == 1


def test_a_worker_that_is_told_to_end_waits_for_no_database(stop, away, monkeypatch):
    away.looks = 1_000_000
    wait, waits = stop.wait, []

    def end_at_the_third(seconds):
        waits.append(seconds)
        stop.signals += len(waits) == 3
        return wait(seconds)

    monkeypatch.setattr(stop, "wait", end_at_the_third)

    assert queue_for("local", stop) is None
    assert len(waits) == 3
