"""The checker itself: sound histories pass, and each forgery is found out."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from forging import AGENT, SECOND, History, with_run, without
from named import NEVER, Definition, matches
from witness import Witness

from shared.models import Run, Schedule
from shared.states import (
    CANCELLED,
    FAILED,
    MISSED,
    QUEUED,
    RUNNING,
    SKIPPED,
)

LOST = {"code": "WORKER_LOST", "message": "The lease ran out."}
WRONG = {"code": "AGENT_ERROR", "message": "Failed on purpose."}


@pytest.fixture
def history(database, database_url):
    return History(database_url)


def once(history, minute=1):
    """A definition that names one instant."""
    return Definition(
        asked=history.start, answered=history.start + SECOND, run_at=history.minute(minute)
    )


def minutely(history, since, **values):
    """A definition of each minute, asked for half a minute after that one."""
    asked = history.minute(since) + 30 * SECOND
    return Definition(
        asked=asked, answered=asked + SECOND, **{"cron_expression": "* * * * *"} | values
    )


def completed(history, **values):
    """A run that completed at its first attempt, as its schedule asked."""
    run = history.run(history.schedule(once(history)), **values)
    history.attempt(run, 1, began=0.2, last=9)
    return run


def lost_and_completed(history, **values):
    """A run whose first worker was lost after three seconds, and whose second completed it."""
    run = history.run(
        history.schedule(once(history)), attempt=2, content="Go (attempt 2)", **values
    )
    history.attempt(run, 1, began=0.2)
    history.event(run, 1, 1, 3, type="attempt_failed", code="WORKER_LOST")
    history.attempt(run, 2, began=4, last=9, pid=2)
    return run


def caught(history, says, **options):
    """Have the checker find out what *says* describes."""
    with pytest.raises(pytest.fail.Exception, match=says):
        history.check(**options)


def test_a_sound_history_passes(history):
    completed(history)
    lost_and_completed(history)

    failed = history.run(status=FAILED, error=WRONG, content=None)
    history.attempt(failed, 1, began=20, last=21, what="failed")
    spent = history.run(status=FAILED, error=LOST, content=None, attempt=2, max_attempts=2)
    history.attempt(spent, 1, began=30)
    history.event(spent, 1, 1, 31, type="attempt_failed", code="WORKER_LOST")
    history.attempt(spent, 2, began=32)
    drained = history.run(attempt=2, uncounted=1, max_attempts=1, content="Go (attempt 2)")
    history.attempt(drained, 1, began=40, last=41, what="stopped")
    history.event(drained, 1, 1, 41, type="put_back")
    history.attempt(drained, 2, began=42, last=43)
    asked = history.minute(1) + SECOND
    cancelled = history.run(status=CANCELLED, content=None, cancel_requested_at=asked)
    history.attempt(cancelled, 1, began=50, last=51, what="stopped")

    history.check(accepted=[str(failed.id)], on_time=SECOND)


def test_a_sound_history_of_edits_passes(history):
    disabled_at = history.minute(6) + 30 * SECOND
    schedule = history.schedule(
        minutely(history, 0),
        minutely(history, 2, cron_expression="*/2 * * * *"),
        minutely(history, 2, cron_expression="* * * * *"),
        Definition(
            asked=disabled_at, answered=disabled_at, cron_expression="* * * * *", enabled=False
        ),
    )
    for minute in (1, 2):
        run = history.run(schedule, history.minute(minute))
        history.attempt(run, 1, began=0.2, last=9)
    nothing = {"attempt": 0, "content": None, "started_at": None}
    history.run(schedule, history.minute(3), status=SKIPPED, error=WRONG, **nothing)
    gap = {"missed_until": history.minute(6), "missed_count": 3}
    history.run(schedule, history.minute(4), status=MISSED, error=WRONG, **nothing, **gap)

    history.check()


def test_an_instant_in_the_middle_of_an_edit_may_go_either_way(history):
    asked, answered = history.minute(2) - SECOND, history.minute(2) + SECOND
    schedule = history.schedule(
        minutely(history, 0),
        Definition(asked=asked, answered=answered, cron_expression="* * * * *", enabled=False),
    )
    run = history.run(schedule, history.minute(1))
    history.attempt(run, 1, began=0.2, last=9)
    history.check()

    run = history.run(schedule, history.minute(2))
    history.attempt(run, 1, began=0.2, last=9)
    history.check()


def test_an_edit_without_an_answer_leaves_both_ways_open_until_the_next(history):
    lost = replace(minutely(history, 1, cron_expression="*/2 * * * *"), answered=NEVER)
    history.schedule(minutely(history, 0), lost, minutely(history, 3, cron_expression="* * * * *"))

    (order,) = history.orders

    named = {history.minute(number) for number in (1, 2, 3, 4)}
    assert named <= order.possible(history.minute(4))
    even = {at for at in named if at.minute % 2 == 0}
    assert order.certain(history.minute(4)) == even | {history.minute(1), history.minute(4)}


def test_a_missing_run_is_caught(history):
    history.schedule(once(history))

    caught(history, "The instant .* is not recorded")


def test_an_instant_that_nobody_named_is_caught(history):
    completed(history, at=history.minute(1) + SECOND)

    caught(history, "is recorded for schedule .*, which did not name it")


def test_an_instant_after_the_schedule_was_disabled_is_caught(history):
    schedule = history.schedule(minutely(history, 0), minutely(history, 1, enabled=False))
    for minute in (1, 2):
        run = history.run(schedule, history.minute(minute))
        history.attempt(run, 1, began=0.2, last=9)

    caught(history, "1 promises broken:\nThe instant .* which did not name it")


def test_an_instant_recorded_twice_is_caught(history):
    run = completed(history)

    def twice(snapshot):
        return with_run(snapshot, run, id=uuid4().hex)

    caught(history, "is recorded 2 times", forge=twice)


def test_two_runs_for_one_idempotency_key_are_caught(history):
    run = completed(history, idempotency_key="mine")

    def twice(snapshot):
        return with_run(snapshot, run, id=uuid4().hex)

    caught(history, "The idempotency key 'mine' made 2 runs", forge=twice)


def test_a_gap_with_an_instant_that_also_ran_is_caught(history):
    schedule = history.schedule(minutely(history, 0), minutely(history, 3, enabled=False))
    gap = {"missed_until": history.minute(3), "missed_count": 3, "attempt": 0, "content": None}
    history.run(schedule, history.minute(1), status=MISSED, error=WRONG, **gap)
    run = history.run(schedule, history.minute(2))
    history.attempt(run, 1, began=0.2, last=9)

    caught(history, "is recorded 2 times")


def test_a_gap_that_is_counted_wrongly_is_caught(history):
    schedule = history.schedule(minutely(history, 0), minutely(history, 3, enabled=False))
    gap = {"missed_until": history.minute(3), "missed_count": 2, "attempt": 0, "content": None}
    history.run(schedule, history.minute(1), status=MISSED, error=WRONG, **gap)

    caught(history, "counts 2 instants, of which it named 3")


def test_a_run_of_a_schedule_that_nobody_ordered_is_caught(history):
    completed(history)
    history.orders.clear()

    caught(history, "which nobody ordered, has 1 runs")


def test_a_schedule_that_vanished_is_caught(history):
    schedule = history.schedule(minutely(history, 9))
    Schedule.delete().where(Schedule.id == schedule).execute()

    caught(history, "was accepted, and is not there")


def test_an_accepted_run_that_vanished_is_caught(history):
    caught(history, "was accepted, and is not there", accepted=[str(uuid4())])


def test_a_run_of_which_there_is_no_record_is_caught(history):
    run = history.run()
    history.attempt(run, 1, began=0.2, last=9)
    Run.delete().where(Run.id == run.id).execute()

    caught(history, "was executed, and there is no record of it")


def test_an_attempt_made_twice_is_caught(history):
    run = completed(history)
    history.attempt(run, 1, began=0.3, last=9, pid=2)

    caught(history, "attempt 1 of run .* began 2 times, in here:1, here:2")


def test_two_owners_at_once_are_caught(history):
    run = history.run(attempt=2, content="Go (attempt 2)")
    history.attempt(run, 1, began=1, last=5, what="failed")
    history.event(run, 1, 1, 2, type="attempt_failed", code="AGENT_ERROR")
    history.attempt(run, 2, began=3, last=9, pid=2)

    caught(history, "attempt 2 .* began while the attempt 1 .* went on, which was not lost")


def test_an_owner_beside_one_that_was_never_over_is_caught(history):
    run = history.run(attempt=2, content="Go (attempt 2)", uncounted=1)
    history.attempt(run, 1, began=1)
    history.event(run, 1, 1, 2, type="put_back")
    history.attempt(run, 2, began=3, last=9, pid=2)

    caught(history, "attempt 2 .* began, and the attempt 1 .* was neither over nor lost")


def test_a_zombie_that_ends_after_it_was_lost_is_no_owner(history):
    run = lost_and_completed(history)
    history.line(run, "ended", 1, 8)

    history.check()


def test_a_late_write_of_a_zombie_is_caught(history):
    run = lost_and_completed(history)
    history.line(run, "ended", 1, 8)
    Run.update(content="Go (attempt 1)").where(Run.id == run.id).execute()

    caught(history, r"with 'Go \(attempt 1\)'; outside it was 'Go \(attempt 2\)'")


def test_a_change_of_an_ended_run_is_caught(history):
    run = completed(history)
    before = history.snapshot()
    Run.update(status=FAILED, error=LOST).where(Run.id == run.id).execute()

    caught(history, "had ended, and was changed: .*'COMPLETED', 'FAILED'", earlier=[before])


def test_a_witness_remembers_a_change_of_an_ended_run_that_was_undone(history, database_url):
    run = completed(history)
    witness = Witness(database_url)
    for content in ("Go (attempt 1)", "Changed", "Go (attempt 1)"):
        Run.update(content=content).where(Run.id == run.id).execute()
        witness.look()

    assert len(witness.broken) == 2
    assert "had ended, and was changed" in witness.broken[0]


def test_a_run_that_vanished_is_caught(history):
    run = history.run()
    history.attempt(run, 1, began=0.2, last=9)
    before = history.snapshot()
    Run.delete().where(Run.id == run.id).execute()
    history.lines.clear()

    caught(history, "was COMPLETED, and is gone", earlier=[before])


def test_attempts_that_go_down_are_caught(history):
    run = completed(history)

    def before(snapshot):
        return with_run(snapshot, run, attempt=2, status="QUEUED")

    caught(history, "went back from attempt 2 to 1", earlier=[before(history.snapshot())])


def test_an_early_start_is_caught(history):
    run = history.run(history.schedule(once(history)))
    history.attempt(run, 1, began=-0.1, last=9)

    caught(history, "before its instant")
    history.check(clocks_lie=True)


def test_a_late_start_is_caught_where_it_matters(history):
    run = history.run(history.schedule(once(history)))
    history.attempt(run, 1, began=3, last=9)

    caught(history, "began 3.00 s after its instant", on_time=2 * SECOND)
    history.check()


def test_a_run_completed_that_never_ended_outside_is_caught(history):
    run = completed(history)
    history.lines = without(history.lines, "ended")

    caught(history, f"Run {run.id} is COMPLETED, and outside its attempt 1 never ended")


def test_a_run_completed_that_never_began_outside_is_caught(history):
    completed(history)
    history.lines.clear()

    caught(history, "is COMPLETED, and outside its attempt 1 never ended")


def test_a_run_completed_by_an_attempt_that_was_taken_back_is_caught(history):
    run = completed(history)
    history.event(run, 1, 1, 3, type="attempt_failed", code="WORKER_LOST")

    caught(history, "is COMPLETED by attempt 1, which had been taken back")


def test_a_failure_that_never_happened_outside_is_caught(history):
    completed(history, status=FAILED, error=WRONG, content=None)

    caught(history, "is FAILED, and outside its attempt 1 did not fail")


def test_a_failure_without_a_reason_is_caught(history):
    completed(history, status=FAILED, content=None)

    caught(history, "is FAILED, and does not say why")


def test_a_run_given_up_with_attempts_left_is_caught(history):
    completed(history, status=FAILED, error=LOST, content=None)

    caught(history, "for a lost worker, with attempts left")


def test_a_start_beyond_the_attempts_that_a_run_has_is_caught(history):
    run = history.run(status=FAILED, error=LOST, content=None, attempt=2, max_attempts=2)
    for number in (1, 2, 3):
        history.attempt(run, number, began=number)
    for number in (1, 2):
        history.event(run, number, number, number + 0.5, type="attempt_failed", code="WORKER_LOST")

    caught(history, "attempt 3 of run .* was made, and its record knows of 2 only")
    caught(history, "was started 3 times, 2 is the most that it may")


def test_a_record_of_more_attempts_than_a_run_has_is_caught(history):
    run = completed(history, max_attempts=1)

    def beyond(snapshot):
        return with_run(snapshot, run, attempt=2)

    caught(history, "was started 2 times, 1 is the most that it may", forge=beyond)


def test_an_attempt_of_which_nothing_became_is_caught(history):
    run = lost_and_completed(history)

    def silent(snapshot):
        return replace(snapshot, events=[])

    caught(history, f"Run {run.id} does not say what became of attempt 1", forge=silent)


def test_an_attempt_that_does_not_count_and_was_not_put_back_is_caught(history):
    completed(history, uncounted=1)

    caught(history, "has 1 attempts that do not count, 0 were put back")


def test_events_with_a_gap_between_them_are_caught(history):
    run = completed(history)
    for number in (1, 3):
        history.event(run, number, 1, number, type="log")

    caught(history, r"are numbered \[1, 3\]")


def test_a_late_event_of_an_old_attempt_is_caught(history):
    run = lost_and_completed(history)
    history.event(run, 2, 2, 5, type="log")
    history.event(run, 3, 1, 6, type="log")

    caught(history, r"are of attempts \[1, 2, 1\]: one came late")


def test_a_cancellation_that_nobody_asked_for_is_caught(history):
    completed(history, status=CANCELLED)

    caught(history, "is CANCELLED, and nobody asked for it")
    caught(history, "is CANCELLED, and has a result all the same")


def test_a_start_after_the_cancellation_is_caught(history):
    asked = history.minute(1) + SECOND / 20
    completed(history, status=CANCELLED, content=None, cancel_requested_at=asked)

    caught(history, "was started at .*, though cancelled at")


@pytest.mark.parametrize("status", [SKIPPED, MISSED])
def test_an_instant_that_was_not_to_run_and_did_is_caught(history, status):
    gap = {"missed_until": history.minute(1), "missed_count": 1} if status is MISSED else {}
    completed(history, status=status, error=WRONG, content=None, **gap)

    caught(history, f"is {status}, and was executed")


def test_a_crowd_beyond_what_an_agent_takes_is_caught(history):
    for _ in range(2):
        completed(history)
    history.check()

    completed(history)

    caught(history, f"3 runs of agent {AGENT} went on at once, 2 are the most")


def test_a_lost_attempt_takes_no_place(history):
    for _ in range(2):
        run = history.run(history.schedule(once(history)), attempt=2, content="Go (attempt 2)")
        history.attempt(run, 1, began=0.2, last=8)
        history.event(run, 1, 1, 3, type="attempt_failed", code="WORKER_LOST")
        history.attempt(run, 2, began=4, last=9, pid=2)

    history.check()


def test_places_that_are_not_free_are_caught(history):
    for _ in range(3):
        history.run(status=QUEUED, attempt=0, content=None, finished_at=None, started_at=None)

    caught(history, f"3 places of agent {AGENT} are taken, it has 2", settled=False)
    caught(history, "is QUEUED still")


def test_a_run_whose_lease_is_long_over_is_caught(history):
    held = {"leased_by": "gone", "lease_until": history.minute(2)}
    history.run(status=RUNNING, content=None, finished_at=None, **held)

    caught(history, "is RUNNING, and its lease ran out", settled=False)


def test_what_is_not_settled_is_only_asked_for_what_it_must_already_be(history):
    history.schedule(once(history))
    history.run(status=QUEUED, attempt=0, content=None, finished_at=None, started_at=None)

    history.check(settled=False)


@pytest.mark.parametrize(
    ("expression", "minute", "named"),
    [
        ("* * * * *", 0, True),
        ("*/2 * * * *", 1, False),
        ("1,5-7 * * * *", 6, True),
        ("1,5-7 * * * *", 4, False),
    ],
)
def test_the_checker_reads_simple_expressions(history, expression, minute, named):
    hour = history.start.replace(minute=0)

    assert matches(expression, hour + timedelta(minutes=minute)) is named
