"""Budgets: what they reserve when a run is made, refuse, and settle when it ends."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import peewee
import pytest
from factories import (
    LEASE,
    MINUTE,
    NOON,
    held,
    make_agent,
    make_batch,
    make_budget,
    make_run,
    make_schedule,
    settle,
    status_of,
    trigger,
)

from shared import agents, db, leases, new_runs, runs, schedules
from shared.attempts import Outcome, Usage, failure
from shared.batches import item_runs
from shared.budgets import moves
from shared.budgets.models import Budget, BudgetPeriod
from shared.db import stamp
from shared.dispatch import Outgoing
from shared.errors import Conflict, NotFound
from shared.idempotency import IdempotencyKey
from shared.models import Run, Schedule
from shared.new_runs import BudgetExceeded
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    QUEUED,
    SKIPPED,
    BudgetScope,
    ErrorCode,
    Overlap,
    Period,
    WhenSpent,
)

pytestmark = pytest.mark.usefixtures("database")

DAY = timedelta(days=1)
LATER = NOON + timedelta(seconds=7)
ERROR = failure(ErrorCode.AGENT_ERROR, "It failed.")
cents = Decimal("0.01").__mul__


def counts(budget, at=NOON):
    """What is spent and reserved, in cents, and the runs of unknown cost."""
    period = BudgetPeriod.get_or_none(
        BudgetPeriod.budget == budget, BudgetPeriod.starts_at <= at, BudgetPeriod.ends_at > at
    )
    if period is None:
        return None
    micros = (period.spent_micros, period.reserved_micros)
    return (*(each // 10_000 for each in micros), period.unpriced_runs)


def ask(agent="echo", **values):
    """A run without a schedule."""
    orders = {"message": "Go", "metadata": {}, "session_id": None, "timeout_seconds": None}
    made = orders | {"max_attempts": 2, "priority": 5, "key": None, "now": NOON}
    return new_runs.background(agent, **made | values)


def claimed(run_id):
    """The run, claimed by a worker."""
    Run.update(dispatches=1).where(Run.id == run_id).execute()
    (claim,) = runs.claim([run_id], "worker-1", lease=LEASE, now=LATER)
    return Run.get_by_id(claim.id)


def finish(run, status=COMPLETED, cost="0.30", at=LATER):
    cost_usd = None if cost is None else Decimal(cost)
    return runs.finish({held(run): Outcome(status=status, usage=Usage(cost_usd=cost_usd))}, now=at)


def history(schedule):
    return list(Run.select().where(Run.schedule == schedule).order_by(Run.scheduled_for))


# Reserved when a run is made.


def test_what_a_run_may_cost_is_reserved_when_it_is_made():
    make_agent()
    budget = make_budget("1", run_usd=cents(25))

    run = Run.get_by_id(ask().id)

    assert run.status is QUEUED
    assert run.reserved == [
        {"budget": budget.id.hex, "from": "2026-11-22 00:00:00.000000+00:00", "micros": 250_000}
    ]
    assert counts(budget) == (0, 25, 0)


def test_each_budget_that_covers_a_run_reserves_for_it_and_no_other_does():
    schedule = make_schedule("mine")
    make_agent("other")
    covering = [
        make_budget(run_usd=cents(10)),
        make_budget("9", period=Period.MONTH, run_usd=cents(20)),
        make_budget(agent_id="mine", run_usd=cents(30)),
        make_budget(schedule_id=schedule.id, run_usd=cents(40)),
    ]
    others = [
        make_budget(agent_id="other", run_usd=cents(1)),
        make_budget(schedule_id=make_schedule("other").id, run_usd=cents(1)),
    ]

    trigger(schedule)

    assert [counts(each) for each in covering] == [(0, n, 0) for n in (10, 20, 30, 40)]
    assert [counts(each) for each in others] == [None, None]


def test_what_one_budget_refuses_no_other_reserves():
    make_agent()
    wide, narrow = (
        make_budget("9", run_usd=cents(50)),
        make_budget("1", agent_id="echo", run_usd=cents(60)),
    )
    ask()

    with pytest.raises(BudgetExceeded):
        ask()

    assert (counts(wide), counts(narrow)) == ((0, 50, 0), (0, 60, 0))
    assert Run.select().count() == 1


@pytest.mark.parametrize(
    ("costs", "reserved"), [([], 0), ([None, None], 0), (["0.10", "0.30", None, "0.20"], 30)]
)
def test_without_a_figure_the_dearest_of_the_agent_s_latest_runs_is_reserved(costs, reserved):
    make_agent("other")
    make_run("other", status=COMPLETED, finished_at=NOON, cost_usd=Decimal(5))
    make_agent()
    for cost in costs:
        make_run(status=COMPLETED, finished_at=NOON, cost_usd=cost and Decimal(cost))
    budget = make_budget("9")

    ask()

    assert counts(budget) == (0, reserved, 0)


def test_that_many_were_skipped_since_does_not_make_an_agent_s_costs_unknown():
    make_run(status=COMPLETED, finished_at=NOON, cost_usd=Decimal("0.50"))
    for _ in range(60):
        make_run(status=SKIPPED, finished_at=NOON)
    budget = make_budget("9")

    ask()

    assert counts(budget) == (0, 50, 0)


def test_where_nothing_is_left_not_even_a_run_that_costs_nothing_has_room():
    make_agent()
    make_budget("1", run_usd=Decimal(0))
    finish(claimed(ask().id), cost="1")

    with pytest.raises(BudgetExceeded, match="nothing left"):
        ask()


def test_the_items_of_batches_are_paid_for_by_their_batch():
    batch = make_batch(items=1)
    budget = make_budget(run_usd=cents(25))

    with db.transaction():
        row = {"id": "0" * 32, "batch_id": batch.id.hex, "item_index": 0}
        item_runs.make([row], again_at=stamp(NOON))

    assert Run.get().reserved is None
    assert counts(budget) is None


# Refused.


def test_a_request_without_room_is_refused_with_the_budget_its_limit_and_its_end():
    schedule = make_schedule("finance")
    budget = make_budget("0.30", agent_id="finance", run_usd=cents(25), timezone="Asia/Tokyo")
    first = trigger(schedule)

    with pytest.raises(BudgetExceeded) as refused:
        trigger(schedule)

    assert str(refused.value) == (
        "The budget of agent finance, 0.3 USD a day, has 0.05 USD left until"
        f" 2026-11-22T15:00:00Z, and a run may cost 0.25 USD. (Budget {budget.id})"
    )
    assert [run.id for run in history(schedule)] == [first]
    assert Schedule.get_by_id(schedule.id).last_run_id == first


def test_a_retry_without_room_is_refused():
    run = make_run(status=FAILED, finished_at=NOON)
    make_budget("1", run_usd=cents(60))
    ask()

    with pytest.raises(BudgetExceeded, match="whole instance"):
        new_runs.retry(run.id, key=None, now=NOON)

    assert Run.select().count() == 2


def test_a_key_that_was_refused_makes_its_run_once_there_is_room():
    make_agent()
    key = IdempotencyKey.of("once", b"POST")
    budget = make_budget("1", run_usd=cents(100))
    first = ask()
    with pytest.raises(BudgetExceeded):
        ask(key=key)
    runs.cancel(first.id, now=NOON)

    made = ask(key=key)

    assert ask(key=key) == made
    assert counts(budget) == (0, 100, 0)


def test_a_fire_time_without_room_is_skipped_and_every_instant_has_its_record():
    schedule = make_schedule()
    make_budget("1", run_usd=cents(100))
    first = ask()
    settle(NOON)
    runs.cancel(first.id, now=NOON)
    settle(NOON + MINUTE)
    finish(claimed(history(schedule)[1].id), cost="0")

    settle(NOON + 2 * MINUTE)

    skipped, queued, after = history(schedule)
    assert (skipped.status, skipped.finished_at) == (SKIPPED, NOON)
    assert skipped.error["code"] == "BUDGET_EXCEEDED"
    assert "1 USD a day" in skipped.error["message"]
    assert (skipped.reserved, skipped.dispatches) == (None, 0)
    assert [each.scheduled_for for each in (queued, after)] == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert [each.status for each in (queued, after)] == [COMPLETED, QUEUED]


def test_a_tick_gives_what_is_left_to_the_urgent_and_sends_only_those():
    plain, urgent = make_schedule(priority=5), make_schedule(priority=9)
    budget = make_budget("1", run_usd=cents(60))
    outgoing = Outgoing(room=9, again_at=NOON + MINUTE)

    settle(NOON, outgoing=outgoing)

    (went,), (stayed,) = history(urgent), history(plain)
    assert (went.status, stayed.status) == (QUEUED, SKIPPED)
    assert [each.run_id for each in outgoing.sendings()] == [went.id.hex]
    assert counts(budget) == (0, 60, 0)


def test_a_tick_of_many_reserves_as_much_as_there_is_and_no_more():
    schedules_of_it = [make_schedule() for _ in range(30)]
    budget = make_budget("1", run_usd=cents(9))
    make_budget("100", agent_id="echo", run_usd=cents(7))

    settle(NOON)

    statuses = [history(each)[0].status for each in schedules_of_it]
    assert (statuses.count(QUEUED), statuses.count(SKIPPED)) == (11, 19)
    assert counts(budget) == (0, 99, 0)


def test_a_fire_time_that_is_recorded_already_reserves_nothing_again():
    schedule = make_schedule()
    budget = make_budget(run_usd=cents(10))
    settle(NOON)
    finish(claimed(history(schedule)[0].id))
    Schedule.update(next_run_at=NOON).execute()

    settle(NOON)

    assert len(history(schedule)) == 1
    assert counts(budget) == (30, 0, 0)


def test_a_tick_without_budgets_only_looks_whether_there_are_any(monkeypatch):
    for _ in range(3):
        make_schedule()
    execute, said = db.execute, []

    def listen(sql, values=None):
        said.append(sql)
        return execute(sql, values)

    monkeypatch.setattr(db, "execute", listen)

    settle(NOON)

    assert [sql for sql in said if "budget" in sql] == ["SELECT 1 FROM budget LIMIT 1"]
    assert not [sql for sql in said if "reserved" in sql]


# Settled when a run ends.


def cancel_queued(run_id):
    runs.cancel(run_id, now=LATER)


def cancel_running(run_id):
    run = claimed(run_id)
    runs.cancel(run_id, now=LATER)
    finish(run, CANCELLED)


def reap(run_id):
    """Lose its worker as often as it may."""
    for _ in range(2):
        claimed(run_id)
        leases.reap(leases.held(), now=LATER)


def reap_cancelled(run_id):
    claimed(run_id)
    runs.cancel(run_id, now=LATER)
    leases.reap(leases.held(), now=LATER)


def retry(run_id):
    runs.retry_later(held(claimed(run_id)), ERROR, at=LATER, now=LATER)
    finish(claimed(run_id))


def drain(run_id):
    runs.release(held(claimed(run_id)), now=LATER)
    finish(claimed(run_id))


def finish_as_the_release_before(run_id):
    run = claimed(run_id)
    db.execute(
        """
        UPDATE run SET status = 'COMPLETED', finished_at = :now, leased_by = NULL,
          lease_until = NULL, content = 'Done', cost_usd = 0.30
        WHERE id = :id AND status = 'RUNNING' AND attempt = :attempt
        """,
        {"id": run_id.hex, "attempt": run.attempt, "now": stamp(LATER)},
    )


@pytest.mark.parametrize(
    ("end", "status", "settled"),
    [
        (lambda run_id: finish(claimed(run_id)), COMPLETED, (30, 0, 0)),
        (lambda run_id: finish(claimed(run_id), FAILED), FAILED, (30, 0, 0)),
        (lambda run_id: finish(claimed(run_id), cost=None), COMPLETED, (0, 0, 1)),
        (cancel_queued, CANCELLED, (0, 0, 0)),
        (cancel_running, CANCELLED, (30, 0, 0)),
        (reap, FAILED, (0, 0, 1)),
        (reap_cancelled, CANCELLED, (0, 0, 1)),
        (retry, COMPLETED, (30, 0, 0)),
        (drain, COMPLETED, (30, 0, 0)),
        (finish_as_the_release_before, COMPLETED, (30, 0, 0)),
    ],
)
def test_however_a_run_ends_it_is_settled_once(end, status, settled):
    make_agent()
    budget, monthly = (
        make_budget(run_usd=cents(50)),
        make_budget("9", period=Period.MONTH, run_usd=cents(50)),
    )
    run_id = ask().id

    end(run_id)

    assert status_of(run_id) is status
    assert counts(budget) == counts(monthly) == settled


def test_what_goes_on_keeps_what_is_reserved_for_it():
    make_agent()
    budget = make_budget(run_usd=cents(50))
    run_id = ask().id
    for put_back in (
        partial(runs.retry_later, error=ERROR, at=LATER, now=LATER),
        partial(runs.release, now=LATER),
    ):
        put_back(held(claimed(run_id)))

        assert counts(budget) == (0, 50, 0)


def test_a_late_outcome_of_another_attempt_settles_nothing():
    make_agent()
    budget = make_budget(run_usd=cents(50))
    first = claimed(ask().id)
    runs.retry_later(held(first), ERROR, at=LATER, now=LATER)

    assert finish(first) == set()

    assert counts(budget) == (0, 50, 0)


def test_several_runs_that_end_at_once_are_all_settled():
    budget = make_budget("9", run_usd=cents(50))
    other = make_budget("9", agent_id=make_agent("other").id, run_usd=cents(50))
    make_agent()
    several = [claimed(ask(agent).id) for agent in ("echo", "other", "other")]

    runs.finish(
        {held(run): Outcome(status=COMPLETED, usage=Usage(cost_usd=cents(20))) for run in several},
        now=LATER,
    )

    assert (counts(budget), counts(other)) == ((60, 0, 0), (40, 0, 0))


def test_a_run_can_cost_more_than_was_reserved_for_it():
    make_agent()
    budget = make_budget("1", run_usd=cents(50))

    finish(claimed(ask().id), cost="7")

    assert counts(budget) == (700, 0, 0)
    with pytest.raises(BudgetExceeded, match="nothing left"):
        ask()


def test_the_database_gives_nothing_back_twice():
    make_agent()
    budget = make_budget(run_usd=cents(50))
    finish(claimed(ask().id))

    with pytest.raises(peewee.IntegrityError):
        BudgetPeriod.update(reserved_micros=-1).where(BudgetPeriod.budget == budget).execute()


# From one period to the next.


def test_a_run_is_settled_in_the_period_in_which_it_was_made():
    make_agent()
    budget = make_budget("1", run_usd=cents(60))
    run_id = ask().id

    ask(now=NOON + DAY)
    finish(claimed(run_id), at=NOON + DAY)

    assert counts(budget) == (30, 0, 0)
    assert counts(budget, NOON + DAY) == (0, 60, 0)


def test_at_midnight_there_is_room_again_even_on_the_night_when_clocks_change():
    schedule = make_schedule(next_run_at=NOON)
    make_budget("1", run_usd=cents(60), timezone="America/Sao_Paulo")
    # That day has 23 hours, and begins at 01:00, which is 03:00 in UTC.
    midnight = NOON.replace(year=2018, month=11, day=4, hour=3)
    last_of_the_day = midnight - timedelta(microseconds=1)
    ask(now=midnight - MINUTE)

    with pytest.raises(BudgetExceeded, match="2018-11-04T03:00:00Z"):
        trigger(schedule, last_of_the_day)

    trigger(schedule, midnight)


# Edited and deleted.


def change(budget, **fields):
    with db.transaction():
        moves.change(moves.locked(budget.id), fields, now=NOON)


def test_a_larger_limit_makes_room_and_keeps_what_was_spent():
    make_agent()
    budget = make_budget("1", run_usd=cents(60))
    finish(claimed(ask().id))
    ask()
    with pytest.raises(BudgetExceeded):
        ask()

    change(budget, limit_usd=Decimal(2))

    ask()
    assert counts(budget) == (30, 120, 0)


def test_a_smaller_limit_stops_nothing_that_runs_and_lets_nothing_more_go():
    make_agent()
    budget = make_budget("2", run_usd=cents(60))
    run = claimed(ask().id)

    change(budget, limit_usd=Decimal("0.60"))

    with pytest.raises(BudgetExceeded, match="nothing left"):
        ask()
    finish(run)
    assert counts(budget) == (30, 0, 0)


def test_a_run_outlives_its_budget():
    make_agent()
    gone, there = make_budget(run_usd=cents(60)), make_budget(agent_id="echo", run_usd=cents(60))
    run = claimed(ask().id)

    with db.transaction():
        moves.delete(moves.locked(gone.id))

    assert len(finish(run)) == 1
    assert counts(there) == (30, 0, 0)
    assert BudgetPeriod.select().count() == 1


def test_a_schedule_takes_its_budgets_along_and_an_agent_does_not():
    schedule = make_schedule()
    make_budget(schedule_id=schedule.id, run_usd=cents(10))
    budget = make_budget(agent_id="echo", run_usd=cents(10))
    settle(NOON)

    schedules.delete(schedule.id, version=None, now=LATER)

    assert [each.id for each in Budget.select()] == [budget.id]
    with pytest.raises(Conflict, match="has a budget"), db.transaction():
        agents.delete(agents.locked("echo"), now=LATER)


def test_there_is_one_budget_of_a_kind():
    make_schedule()
    for whose in ({}, {"agent_id": "echo"}, {"schedule_id": Schedule.get().id}):
        make_budget(**whose)
        make_budget(period=Period.MONTH, **whose)

        with pytest.raises(Conflict, match="already"):
            make_budget(**whose)


# Paused, to ask.


def test_a_fire_time_waits_for_a_person_where_the_budget_says_so():
    schedule = make_schedule()
    budget = make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    ask()

    settle(NOON)

    (run,) = history(schedule)
    assert (run.status, run.finished_at, run.reserved) == (PAUSED, None, None)
    assert run.error["code"] == "BUDGET_EXCEEDED"
    assert counts(budget) == (0, 60, 0)


def test_while_one_waits_others_are_skipped_for_want_of_room_and_run_when_there_is_some():
    schedule = make_schedule(overlap_policy=Overlap.ALLOW)
    make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    first = ask()
    settle(NOON)

    settle(NOON + MINUTE)
    runs.cancel(first.id, now=NOON)
    settle(NOON + 2 * MINUTE)
    settle(NOON + 3 * MINUTE)

    assert [(run.status, run.error and run.error["code"]) for run in history(schedule)] == [
        (PAUSED, "BUDGET_EXCEEDED"),
        (SKIPPED, "BUDGET_EXCEEDED"),
        (QUEUED, None),
        (SKIPPED, "BUDGET_EXCEEDED"),
    ]


def test_a_run_that_waits_for_a_person_can_be_an_overlap_and_one_that_waits_for_money_is_not():
    schedule = make_schedule(paused_overlaps=True)
    make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    settle(NOON)
    first = history(schedule)[0]
    claimed(first.id)
    Run.update(status=PAUSED, leased_by=None, lease_until=None).execute()

    settle(NOON + MINUTE)

    assert history(schedule)[1].error["code"] == "OVERLAP"


def test_what_waits_goes_on_although_there_is_no_room_and_is_settled():
    schedule = make_schedule(max_attempts=1)
    budget = make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    ask()
    settle(NOON)
    waiting = history(schedule)[0].id

    runs.resume(waiting, now=LATER)

    run = Run.get_by_id(waiting)
    assert (run.status, run.error, run.available_at) == (QUEUED, None, LATER)
    assert counts(budget) == (0, 120, 0)
    run = claimed(waiting)
    assert (run.attempt, run.uncounted) == (1, 0)
    finish(run)
    assert (status_of(waiting), counts(budget)) == (COMPLETED, (30, 60, 0))


def test_what_waits_can_be_cancelled():
    schedule = make_schedule()
    budget = make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    ask()
    settle(NOON)
    waiting = history(schedule)[0].id

    runs.cancel(waiting, now=LATER)

    assert status_of(waiting) is CANCELLED
    assert counts(budget) == (0, 60, 0)
    with pytest.raises(Conflict, match="not paused but CANCELLED"):
        runs.resume(waiting, now=LATER)


def test_a_request_waits_as_well_and_says_so_as_often_as_it_is_asked():
    make_agent()
    key = IdempotencyKey.of("once", b"POST")
    make_budget("1", run_usd=cents(100), when_spent=WhenSpent.PAUSE)
    ask()

    waiting = ask(key=key)

    assert (waiting.status, status_of(waiting.id)) == (PAUSED, PAUSED)
    assert ask(key=key) == waiting


def test_who_says_no_goes_before_who_asks():
    make_agent()
    make_budget("1", run_usd=cents(60), when_spent=WhenSpent.PAUSE)
    make_budget("1", agent_id="echo", run_usd=cents(60), when_spent=WhenSpent.SKIP)
    ask()

    with pytest.raises(BudgetExceeded, match="agent echo"):
        ask()


def test_a_run_that_was_paused_at_work_keeps_what_was_reserved_for_it():
    make_agent()
    budget = make_budget(run_usd=cents(50))
    run = claimed(ask().id)
    Run.update(status=PAUSED, leased_by=None, lease_until=None).execute()

    runs.resume(run.id, now=LATER)

    assert counts(budget) == (0, 50, 0)
    assert Run.get_by_id(run.id).uncounted == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent": "echo"},
        {"scope": BudgetScope.AGENT},
        {"scope": BudgetScope.SCHEDULE},
        {"limit_usd": 0},
        {"run_usd": 2},
        {"run_usd": -1},
    ],
)
def test_the_database_refuses_a_budget_that_makes_no_sense(wrong):
    make_agent()
    budget = make_budget("1")

    with pytest.raises(peewee.IntegrityError):
        Budget.update(**wrong).where(Budget.id == budget.id).execute()


def test_there_is_no_budget_of_that_id(database):
    with pytest.raises(NotFound):
        moves.locked(make_run().id)
