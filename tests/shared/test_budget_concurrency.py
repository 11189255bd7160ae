"""What several processes do to budgets at once, on PostgreSQL: each thread has a connection.

SQLite's writing transactions exclude each other as a whole; there is nothing to interleave.
"""

import random
import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import LEASE, NOON, make_agent, make_budget, make_schedule, settle
from waiting import wait_until

from shared import db, leases, new_runs, runs, schedules
from shared.attempts import Lease, Outcome, Usage
from shared.budgets import moves
from shared.budgets.models import BudgetPeriod
from shared.errors import NotFound
from shared.models import Run
from shared.new_runs import BudgetExceeded
from shared.states import COMPLETED, QUEUED, SKIPPED, Period

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
]

CENT = Decimal("0.01")


def ask(agent="echo", now=NOON):
    """Whether a run without a schedule was to be had."""
    orders = {"message": "Go", "metadata": {}, "session_id": None, "timeout_seconds": None}
    try:
        new_runs.background(agent, **orders, max_attempts=3, priority=5, key=None, now=now)
    except BudgetExceeded:
        return False
    return True


def tick(limit=1000):
    with db.transaction():
        return settle(NOON, limit=limit)


def counts(budget):
    """What is spent and what is reserved, in cents."""
    spent = reserved = 0
    for period in BudgetPeriod.select().where(BudgetPeriod.budget == budget.id):
        spent += period.spent_micros // 10_000
        reserved += period.reserved_micros // 10_000
    return spent, reserved


def work(count, worker, cost=CENT):
    """Run what is queued, *count* runs at a time, until nothing is; how many that were."""
    done = 0
    while True:
        waiting = [run.id for run in Run.select(Run.id).where(Run.status == QUEUED)]
        random.Random(worker).shuffle(waiting)
        claimed = runs.claim(waiting[:count], worker, lease=LEASE, now=NOON)
        if not claimed and not waiting:
            return done
        held = [Lease(run.id, run.attempt) for run in claimed]
        if held:
            outcome = Outcome(status=COMPLETED, usage=Usage(cost_usd=cost))
            done += len(runs.finish(dict.fromkeys(held, outcome), now=NOON))


def test_many_requests_at_once_are_admitted_as_far_as_there_is_room(at_once):
    make_agent()
    budget = make_budget("1", run_usd=10 * CENT)
    monthly = make_budget("9", period=Period.MONTH, run_usd=CENT)

    def several():
        return sum(ask() for _ in range(5))

    admitted = at_once(*[several] * 8)

    assert sum(admitted) == 10
    assert (counts(budget), counts(monthly)) == ((0, 100), (0, 10))


def test_ticks_and_requests_at_once_are_admitted_as_far_as_there_is_room(at_once):
    for _ in range(60):
        make_schedule()
    budget = make_budget("1", run_usd=3 * CENT)

    def several():
        return sum(ask() for _ in range(10))

    *_, first, second = at_once(*[lambda: tick(20)] * 4, several, several)

    statuses = Counter(run.status for run in Run.select().where(Run.schedule.is_null(False)))
    assert statuses[QUEUED] + first + second == 33
    assert statuses[QUEUED] + statuses[SKIPPED] == 60
    assert counts(budget) == (0, 99)


def test_runs_that_are_made_and_ended_at_once_wait_for_nobody_in_a_circle(at_once):
    # Each is under several budgets, and each statement moves runs of several of them.
    names = [f"agent-{number}" for number in range(6)]
    for name in names:
        for _ in range(10):
            make_schedule(name)
    budgets = [make_budget("900", agent_id=name, run_usd=5 * CENT) for name in reversed(names)]
    instance = make_budget("900", run_usd=2 * CENT)
    tick(30)
    Run.update(dispatches=1).execute()

    def request():
        for n in range(10):
            assert ask(names[n % 6])
        Run.update(dispatches=1).where(Run.dispatches == 0).execute()
        return 0

    def tick_and_send():
        while tick(10):
            Run.update(dispatches=1).where(Run.dispatches == 0).execute()
        return 0

    def finishing(worker):
        return lambda: work(7, worker)

    at_once(request, tick_and_send, request, *(finishing(f"worker-{n}") for n in range(4)))
    Run.update(dispatches=1).execute()
    work(50, "last")

    assert Run.select().where(Run.status == COMPLETED).count() == 80
    assert counts(instance) == (80, 0)
    assert sum(counts(each)[0] for each in budgets) == 80
    assert {counts(each)[1] for each in budgets} == {0}


@pytest.mark.parametrize("taken", range(6))
def test_who_ends_runs_takes_their_budgets_in_order(at_once, taken):
    names = [f"agent-{number}" for number in range(6)]
    for name in names:
        make_agent(name)
    budgets = [make_budget(agent_id=name, run_usd=CENT).id for name in names]
    for name in reversed(names):
        assert ask(name)
    Run.update(dispatches=1).execute()
    held = threading.Event()

    def hold():
        """Have one of them for ourselves; those that can be had besides, while the other waits."""
        with db.transaction():
            BudgetPeriod.select().where(BudgetPeriod.budget == budgets[taken]).for_update().get()
            held.set()
            wait_until(lambda: waiting() > 0, "the end of the runs to wait for a budget")
            free = BudgetPeriod.select().for_update("FOR UPDATE SKIP LOCKED")
            return {period.budget_id for period in free}

    def end():
        assert held.wait(10)
        return work(6, "worker-1")

    free, ended = at_once(hold, end)

    assert ended == 6
    assert free == set(budgets[taken:])


def waiting():
    return db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]


def test_reapers_and_workers_at_once_settle_each_run_once(at_once):
    names = [f"agent-{number}" for number in range(4)]
    for name in names:
        make_agent(name)
    budgets = [make_budget("900", agent_id=name, run_usd=5 * CENT) for name in names]
    for n in range(80):
        ask(names[n % 4])
    Run.update(dispatches=1, max_attempts=1).execute()
    held = [
        Lease(run.id, run.attempt)
        for run in runs.claim([run.id for run in Run.select()], "gone", lease=LEASE, now=NOON)
    ]
    lapsed = leases.held()

    def reap(seed):
        mine = random.Random(seed).sample(lapsed, 60)
        return lambda: [leases.reap(mine[n : n + 9], now=NOON) for n in range(0, 60, 9)]

    def finish(start):
        mine = random.Random(start).sample(held[start::2], 30)
        outcome = Outcome(status=COMPLETED, usage=Usage(cost_usd=CENT))

        def in_steps():
            for first in range(0, 30, 7):
                runs.finish(dict.fromkeys(mine[first : first + 7], outcome), now=NOON)

        return in_steps

    at_once(reap(1), reap(2), finish(0), finish(1))
    leases.reap(leases.held(), now=NOON)

    completed = Run.select().where(Run.status == COMPLETED).count()
    ended = Run.select().where(Run.finished_at.is_null(False)).count()
    assert (ended, sum(counts(each)[0] for each in budgets)) == (80, completed)
    assert {counts(each)[1] for each in budgets} == {0}
    unpriced = sum(period.unpriced_runs for period in BudgetPeriod.select())
    assert unpriced == 80 - completed


def test_a_limit_that_was_lowered_binds_whoever_comes_after(at_once):
    make_agent()
    budget = make_budget("100", run_usd=10 * CENT)
    lowered = []

    def lower():
        with db.transaction():
            locked = moves.locked(budget.id)
            moves.change(locked, {"limit_usd": 20 * CENT}, now=NOON)
            lowered.append(counts(budget)[1])

    def several():
        return sum(ask() for _ in range(10))

    at_once(several, lower, several, several)

    # What was admitted before it may be more; nothing was afterwards that has no room.
    assert counts(budget)[1] == max(lowered[0], 20)


def test_a_budget_that_is_deleted_while_all_goes_on_is_gone(at_once):
    schedule = make_schedule()
    make_agent("other")
    budget = make_budget("900", run_usd=CENT)
    own = make_budget("900", schedule_id=schedule.id, run_usd=CENT)
    for n in range(40):
        # In several of its periods.
        ask("other", now=NOON + n * timedelta(hours=12))
    Run.update(dispatches=1).execute()

    def delete():
        with db.transaction():
            moves.delete(moves.locked(budget.id))

    def delete_schedule():
        schedules.delete(schedule.id, version=None, now=NOON)

    at_once(
        delete,
        lambda: work(9, "worker-1"),
        delete_schedule,
        tick,
        lambda: [ask() for _ in range(10)] and Run.update(dispatches=1).execute(),
        lambda: work(9, "worker-2"),
    )

    for gone in (budget, own):
        with pytest.raises(NotFound):
            moves.locked(gone.id)
    assert BudgetPeriod.select().count() == 0


def test_a_period_begins_once_however_many_come_at_its_beginning(at_once):
    make_agent()
    budget = make_budget("1", run_usd=10 * CENT)

    assert at_once(*[ask] * 8) == [True] * 8

    assert BudgetPeriod.select().count() == 1
    assert counts(budget) == (0, 80)
