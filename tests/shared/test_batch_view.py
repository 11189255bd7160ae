"""What is said of how a batch is doing."""

from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_batch, make_worker
from marshmallow import fields

from api.schemas.batches import BatchSchema
from shared.batches import view
from shared.batches.models import BatchProgress, BatchWorker
from shared.models import Agent
from shared.states import BatchReason, BatchStatus

pytestmark = pytest.mark.usefixtures("database")

LATER = NOON + timedelta(seconds=10)


@pytest.fixture
def worker(database):
    return make_worker(queues=["local"])


def make(total=10, *, ended=None, **values):
    """A batch that runs, of so many items, with what has been counted of it."""
    names = BatchProgress._meta.columns
    counted = {name: values.pop(name) for name in list(values) if name in names}
    batch = make_batch(items=0, **{"status": BatchStatus.RUNNING} | values)
    counted = {"started_at": NOON} | counted
    taken = sum(counted.get(each, 0) for each in ("queued", "running", "paused"))
    taken += sum(counted.get(each, 0) for each in ("completed", "failed", "cancelled"))
    BatchProgress.update(total=total, taken=taken, **counted).where(
        BatchProgress.batch == batch
    ).execute()
    return batch


def state(batch, now=LATER):
    return view.get(batch.id, now=now)


def test_it_says_what_the_documentation_says():
    documented = BatchSchema()
    shown = state(make(completed=5, price_per_hour=Decimal(1)))

    assert list(shown) == [field.data_key for field in documented.fields.values()]
    nested = {
        field.data_key: field.schema.fields
        for field in documented.fields.values()
        if isinstance(field, fields.Nested)
    }
    for name in ("counts", "estimatedCost", "actualCost", "interruptions"):
        assert set(shown[name]) == {each.data_key or key for key, each in nested[name].items()}


def test_counts_add_up_whatever_has_become_of_the_items():
    counts = state(
        make(100, queued=1, running=2, paused=3, completed=4, failed=5, cancelled=6, dropped=7)
    )["counts"]

    assert counts == {
        "total": 100,
        "queued": 100 - 21 - 7 + 1,
        "running": 2,
        "paused": 3,
        "completed": 4,
        "failed": 5,
        "cancelled": 6 + 7,
    }
    assert sum(counts.values()) == 2 * counts["total"]


@pytest.mark.parametrize(
    ("ended", "total", "shown"),
    [(0, 3, 0.0), (1, 3, 33.3), (2, 3, 66.6), (3, 3, 100.0), (99_999, 100_000, 99.9)],
)
def test_progress_has_one_decimal_and_is_whole_only_when_all_has_ended(ended, total, shown):
    assert view.percentage(ended, total) == shown


NOTES = [
    ({"status": BatchStatus.COMPLETED, "completed": 10}, None),
    ({"status": BatchStatus.COMPLETED, "completed": 7, "failed": 3}, "3 of 10 items failed; POST"),
    (
        {"status": BatchStatus.FAILED, "reason": BatchReason.ALL_FAILED, "failed": 10},
        "All of its 10 items failed.",
    ),
    (
        {"status": BatchStatus.FAILED, "reason": BatchReason.DEADLINE_PASSED, "dropped": 4},
        "Its deadline passed before 4 items had been done.",
    ),
    (
        {"status": BatchStatus.PAUSED, "reason": BatchReason.BUDGET_SPENT, "budget_usd": 5},
        "Its budget of 5 USD is spent; resume it with a larger `budgetUsd`.",
    ),
    (
        {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST},
        "It was paused on request.",
    ),
    ({"ending_at": NOON}, "It ends as soon as what runs of it has stopped."),
    (
        {"paused": 3, "completed": 7},
        "3 items of it wait for a person: what they ask is at GET …/runs?batchId=",
    ),
    ({"stalled_since": NOON, "moved_at": NOON}, "Nothing of it has started or ended for 10 s"),
    ({}, None),
]


@pytest.mark.parametrize(("values", "says"), NOTES)
@pytest.mark.usefixtures("worker")
def test_there_is_a_sentence_for_what_a_person_should_know(values, says):
    ended = values.get("status", BatchStatus.RUNNING) in (BatchStatus.COMPLETED, BatchStatus.FAILED)
    note = state(make(**values, finished_at=NOON if ended else None))["note"]

    assert note == says or note.startswith(says)


def test_that_nobody_is_there_to_run_it_is_said_at_once():
    batch = make()

    assert state(batch)["note"] == (
        "No worker is alive for compute profile local: start one with AGENT_MANAGER_COMPUTE=local."
    )


@pytest.mark.usefixtures("worker")
def test_that_its_agent_is_disabled_is_said():
    batch = make()
    Agent.update(enabled=False).execute()

    assert state(batch)["note"] == "Nothing more of it starts: agent echo is disabled."


BEFORE = {"low": 8.0, "high": 12.0, "measuredRuns": 3, "says": None}
UNKNOWN = {"low": None, "high": None, "measuredRuns": 0, "says": "Nobody knows."}


def test_before_anything_has_ended_the_estimate_is_the_one_from_before():
    cost = state(make(estimate=BEFORE))["estimatedCost"]

    assert (cost["lowUsd"], cost["highUsd"], cost["note"]) == (8.0, 12.0, None)
    assert cost["beforeItRan"] == {"lowUsd": 8.0, "highUsd": 12.0, "note": None}


def test_a_few_that_have_ended_replace_their_share_of_it():
    batch = make(10, completed=2, costed=2, agent_micros=6_000_000, estimate=BEFORE)

    cost = state(batch)["estimatedCost"]

    assert (cost["lowUsd"], cost["highUsd"]) == (12.4, 15.6)


def test_when_enough_have_ended_it_is_corrected_by_what_they_cost():
    batch = make(
        100,
        completed=20,
        costed=20,
        agent_micros=40_000_000,
        squared_micros=20 * 2_000_000.0**2,
        estimate=BEFORE,
    )

    cost = state(batch)["estimatedCost"]

    assert (cost["lowUsd"], cost["highUsd"]) == (200.0, 200.0)
    assert cost["beforeItRan"] == {"lowUsd": 8.0, "highUsd": 12.0, "note": None}


def test_costs_that_lie_apart_make_it_a_range():
    # Ten of one dollar, ten of three.
    batch = make(
        40,
        completed=20,
        costed=20,
        agent_micros=40_000_000,
        squared_micros=10 * 1e12 + 10 * 9e12,
        estimate=UNKNOWN,
    )

    cost = state(batch)["estimatedCost"]

    assert 40 < cost["lowUsd"] < 80 < cost["highUsd"] < 100


def test_in_the_end_it_is_what_it_cost():
    batch = make(
        10,
        status=BatchStatus.COMPLETED,
        finished_at=NOON,
        completed=10,
        costed=10,
        agent_micros=9_500_000,
        compute_micros=500_000,
        price_per_hour=Decimal(1),
        estimate=BEFORE,
    )

    shown = state(batch)

    assert (shown["estimatedCost"]["lowUsd"], shown["estimatedCost"]["highUsd"]) == (10.0, 10.0)
    assert shown["actualCost"] == {"usd": 10.0, "agentUsd": 9.5, "computeUsd": 0.5}


@pytest.mark.parametrize(
    ("values", "cost"),
    [
        ({"completed": 5}, {"usd": None, "agentUsd": None, "computeUsd": None}),
        (
            {"completed": 5, "price_per_hour": 0},
            {"usd": None, "agentUsd": None, "computeUsd": 0.0},
        ),
        (
            {"completed": 5, "price_per_hour": 1, "compute_micros": 7},
            {"usd": 0.000007, "agentUsd": None, "computeUsd": 0.000007},
        ),
        (
            {"completed": 5, "costed": 5, "agent_micros": 7},
            {"usd": 0.000007, "agentUsd": 0.000007, "computeUsd": None},
        ),
    ],
)
def test_what_nobody_knows_is_null_and_never_nothing(values, cost):
    shown = state(make(**values, estimate=UNKNOWN))

    assert shown["actualCost"] == cost
    if cost["usd"] is None:
        assert shown["estimatedCost"]["lowUsd"] is None
        assert shown["estimatedCost"]["note"] == "Nobody knows."


def test_interruptions_are_counted_and_what_they_cost():
    batch = make(interruptions=3, interrupted_micros=250_000, price_per_hour=Decimal(1))

    assert state(batch)["interruptions"] == {"count": 3, "costUsd": 0.25}


def test_the_time_left_is_a_range_by_how_fast_items_end():
    samples = [(NOON.timestamp(), 0), (NOON.timestamp() + 5, 50)]
    batch = make(200, completed=100, samples=samples)

    left = state(batch)["timeLeft"]

    assert left["lowSeconds"] < 10 < left["highSeconds"]


@pytest.mark.parametrize(
    "values",
    [
        {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST},
        {"ending_at": NOON},
        {"samples": []},
    ],
)
def test_nobody_knows_how_long_it_takes_what_does_not_go_on(values):
    samples = [(NOON.timestamp(), 0), (NOON.timestamp() + 5, 50)]

    assert state(make(200, completed=100, **{"samples": samples} | values))["timeLeft"] is None


def test_what_it_ran_on_is_told_by_kind():
    batch = make()
    for number, vcpu in enumerate((2, 8, 8)):
        BatchWorker.create(batch=batch, worker_id=f"w{number}", hardware={"vcpu": vcpu})

    ran_on = state(batch)["computeConfiguration"]["ranOn"]

    assert sorted(ran_on, key=lambda each: each["vcpu"]) == [
        {"vcpu": 2, "workers": 1},
        {"vcpu": 8, "workers": 2},
    ]


def test_what_happened_when():
    shown = state(make(deadline=NOON + MINUTE, ending_at=NOON))

    assert (shown["createdAt"], shown["startedAt"]) == ("2026-11-22T12:00:00Z",) * 2
    assert (shown["deadline"], shown["cancelRequestedAt"]) == (
        "2026-11-22T12:01:00Z",
        "2026-11-22T12:00:00Z",
    )
    assert shown["finishedAt"] is None
