"""What schedulers see to: ends, deadlines, budgets, batches that stand still, and notice of it."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_agent, make_batch, make_run, status_of

from shared.batches import oversight, submission, view
from shared.batches.models import Batch, BatchItem, BatchProgress
from shared.batches.oversight import Overseer
from shared.models import Run
from shared.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    BatchReason,
    BatchStatus,
    Trigger,
)

pytestmark = pytest.mark.usefixtures("database")

STALL = timedelta(minutes=5)
LATER = NOON + timedelta(seconds=7)
ENDED_AT = NOON + timedelta(seconds=3)


def attend(now=LATER):
    Overseer(STALL).attend(now)


def after(batch):
    return Batch.get_by_id(batch.id)


def make_ended(total=10, *, moved_at=ENDED_AT, **counts):
    """A batch of which *counts* of the items have ended, and which nobody has ended yet."""
    reason = counts.pop("reason", None)
    values = {"ending_at": NOON} if reason else {}
    batch = make_batch(items=0, status=BatchStatus.RUNNING, reason=reason, **values)
    dropped = counts.pop("dropped", 0)
    BatchProgress.update(
        total=total, taken=sum(counts.values()), dropped=dropped, moved_at=moved_at, **counts
    ).where(BatchProgress.batch == batch).execute()
    return batch


@pytest.mark.parametrize(
    ("counts", "status", "reason"),
    [
        ({"completed": 10}, BatchStatus.COMPLETED, None),
        ({"completed": 1, "failed": 9}, BatchStatus.COMPLETED, None),
        ({"failed": 10}, BatchStatus.FAILED, BatchReason.ALL_FAILED),
        ({"completed": 9, "cancelled": 1}, BatchStatus.COMPLETED, None),
        (
            {"completed": 4, "dropped": 6, "reason": BatchReason.CANCELLED_BY_REQUEST},
            BatchStatus.CANCELLED,
            BatchReason.CANCELLED_BY_REQUEST,
        ),
        (
            {"cancelled": 10, "reason": BatchReason.CANCELLED_BY_REQUEST},
            BatchStatus.CANCELLED,
            BatchReason.CANCELLED_BY_REQUEST,
        ),
        # What was asked for too late to change anything changes nothing.
        (
            {"completed": 10, "reason": BatchReason.CANCELLED_BY_REQUEST},
            BatchStatus.COMPLETED,
            None,
        ),
        (
            {"completed": 4, "dropped": 6, "reason": BatchReason.DEADLINE_PASSED},
            BatchStatus.FAILED,
            BatchReason.DEADLINE_PASSED,
        ),
        ({"completed": 10, "reason": BatchReason.DEADLINE_PASSED}, BatchStatus.COMPLETED, None),
    ],
)
def test_a_batch_ends_as_what_became_of_its_items(counts, status, reason):
    batch = make_ended(**counts)

    attend()

    ended = after(batch)
    assert (ended.status, ended.reason, ended.finished_at) == (status, reason, ENDED_AT)


@pytest.mark.parametrize(
    "counts",
    [
        {"completed": 9},
        {"completed": 9, "running": 1},
        {"completed": 9, "queued": 1},
        {"completed": 9, "paused": 1},
    ],
)
def test_one_of_which_an_item_has_not_ended_goes_on(counts):
    batch = make_ended(**counts)

    attend()

    assert after(batch).finished_at is None


def test_one_that_is_ended_before_anything_ran_ends_when_that_was_asked_for():
    batch = make_ended(dropped=10, reason=BatchReason.CANCELLED_BY_REQUEST, moved_at=NOON - MINUTE)

    attend()

    assert after(batch).finished_at == NOON


def test_one_that_pauses_ends_when_the_last_of_it_has():
    batch = make_ended(completed=10)
    Batch.update(status=BatchStatus.PAUSED, reason=BatchReason.PAUSED_BY_REQUEST).execute()

    attend()

    assert after(batch).status is BatchStatus.COMPLETED


def test_at_its_deadline_what_has_not_been_done_is_dropped():
    batch = make_batch(items=3, deadline=LATER, status=BatchStatus.RUNNING)
    run = make_run(batch=batch, item_index=0, queue="local", leased_by="worker-1")
    BatchProgress.update(taken=1, running=1).execute()

    attend(LATER - timedelta(microseconds=1))
    before = after(batch).ending_at
    attend(LATER)

    assert (before, after(batch).ending_at) == (None, LATER)
    assert after(batch).reason is BatchReason.DEADLINE_PASSED
    assert BatchProgress.get_by_id(batch.id).dropped == 2
    assert Run.get_by_id(run.id).cancel_requested_at == LATER


def test_what_slipped_past_the_end_of_a_batch_is_stopped_later():
    batch = make_batch(items=2, ending_at=NOON, reason=BatchReason.CANCELLED_BY_REQUEST)
    waits = make_run(batch=batch, item_index=0, queue="local")
    runs_now = make_run(batch=batch, item_index=1, queue="local", leased_by="worker-1")
    BatchProgress.update(taken=2, queued=1, running=1).execute()

    attend()

    assert status_of(waits.id) is CANCELLED
    stopped = Run.get_by_id(runs_now.id)
    assert (stopped.status, stopped.cancel_requested_at) == (RUNNING, LATER)


@pytest.mark.parametrize(("spent_micros", "pauses"), [(4_999_999, False), (5_000_000, True)])
def test_a_batch_pauses_when_its_budget_is_spent(spent_micros, pauses):
    batch = make_batch(status=BatchStatus.RUNNING, budget_usd=Decimal(5))
    BatchProgress.update(agent_micros=spent_micros - 1, compute_micros=1).execute()
    sent = make_run(batch=batch, item_index=0, queue="local")
    BatchProgress.update(taken=1, queued=1).execute()

    attend()

    assert (after(batch).status is BatchStatus.PAUSED) == pauses
    assert (after(batch).reason is BatchReason.BUDGET_SPENT) == pauses
    assert (Run.get_by_id(sent.id).dispatches == 0) == pauses


def stands_still(batch, now):
    attend(now)
    return after(batch).stalled_since is not None


def test_a_batch_of_which_nothing_starts_stands_still_after_a_while():
    batch = make_batch()

    assert not stands_still(batch, NOON + STALL - timedelta(microseconds=1))
    assert stands_still(batch, NOON + STALL)
    assert after(batch).stalled_since == NOON


@pytest.mark.parametrize(
    "values",
    [
        {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST},
        {"ending_at": NOON, "reason": BatchReason.CANCELLED_BY_REQUEST},
        {"accepted_at": None, "received_at": NOON + STALL},
    ],
)
def test_one_that_is_not_to_go_on_does_not_stand_still(values):
    assert not stands_still(make_batch(**values), NOON + STALL)


def test_one_of_which_an_item_runs_for_long_does_not_stand_still():
    batch = make_batch(items=2, status=BatchStatus.RUNNING)
    BatchProgress.update(taken=1, running=1).execute()

    assert not stands_still(batch, NOON + 10 * STALL)


def test_one_whose_items_wait_to_be_tried_again_does_not_stand_still_before_they_could():
    batch = make_batch(items=1, status=BatchStatus.RUNNING)
    BatchProgress.update(taken=1, queued=1).execute()
    again_at = NOON + 2 * STALL
    make_run(batch=batch, item_index=0, queue="local", available_at=again_at)

    assert not stands_still(batch, again_at + STALL - timedelta(microseconds=1))
    assert stands_still(batch, again_at + STALL)


def test_one_that_stood_still_goes_on():
    batch = make_batch()
    assert stands_still(batch, NOON + STALL)
    BatchProgress.update(moved_at=NOON + STALL).execute()

    assert not stands_still(batch, NOON + STALL + MINUTE)


def test_its_pace_is_measured_while_it_goes_on():
    batch = make_batch(items=100, status=BatchStatus.RUNNING)
    seen = []
    for second in range(0, 8, 2):
        ended = 10 * second
        BatchProgress.update(taken=ended, completed=ended, started_at=NOON, moved_at=NOON).execute()
        attend(NOON + timedelta(seconds=second))
        now = NOON + timedelta(seconds=second)
        seen.append(view.get(batch.id, now=now)["timeLeft"])

    assert seen[0] is None
    for left, ended in zip(seen[1:], (20, 40, 60), strict=True):
        assert left["lowSeconds"] < (100 - ended) / 10 < left["highSeconds"]


def notices():
    return [
        (json.loads(run.message), run.agent_id, run.metadata)
        for run in Run.select().where(Run.trigger == Trigger.NOTICE).order_by(Run.id)
    ]


@pytest.fixture
def webhook(database):
    make_agent("webhook")
    return "webhook"


def test_whoever_wants_notice_gets_it_when_a_batch_ends(webhook):
    batch = make_ended(completed=8, failed=2)
    Batch.update(notify_agent_id=webhook).execute()

    attend()

    ((says, agent, metadata),) = notices()
    assert (says["event"], says["batch"]["id"]) == ("batch.ended", str(batch.id))
    assert (says["batch"]["status"], says["batch"]["counts"]["failed"]) == ("COMPLETED", 2)
    assert agent == "webhook"
    assert metadata == {"event": "batch.ended", "batchId": str(batch.id)}


def test_notice_is_given_when_it_stands_still_and_when_its_budget_is_spent(webhook):
    make_batch(notify_agent_id=webhook)
    poor = make_batch(notify_agent_id=webhook, budget_usd=Decimal(1))
    BatchProgress.update(agent_micros=10**6).where(BatchProgress.batch == poor).execute()

    attend(NOON + STALL)

    assert sorted(says["event"] for says, _, _ in notices()) == [
        "batch.budget_spent",
        "batch.stalled",
    ]


def test_notice_is_given_once(webhook):
    make_batch(notify_agent_id=webhook)
    ended = make_ended(completed=10)
    Batch.update(notify_agent_id=webhook).where(Batch.id == ended.id).execute()

    for _ in range(3):
        attend(NOON + STALL)

    assert len(notices()) == 2


def test_a_notice_that_cannot_be_given_keeps_no_batch_from_ending(webhook, caplog):
    make_agent("disabled", enabled=False)
    batch = make_ended(completed=10)
    Batch.update(notify_agent_id="disabled").execute()

    attend()

    assert after(batch).status is BatchStatus.COMPLETED
    assert notices() == []
    assert "no notice of batch.ended is given: Agent disabled is disabled" in caplog.text


def test_one_that_cannot_be_seen_to_keeps_no_other_from_it(monkeypatch, caplog):
    broken, sound = make_ended(completed=10), make_ended(completed=10)
    end = oversight._end

    def break_one(batch, now):
        if batch.id == broken.id:
            raise RuntimeError("It is broken.")
        end(batch, now)

    monkeypatch.setattr(oversight, "_end", break_one)

    with pytest.raises(RuntimeError, match="It is broken"):
        attend()

    assert after(sound).status is BatchStatus.COMPLETED
    assert f"batch {broken.id} cannot be seen to" in caplog.text


def test_what_nobody_went_on_submitting_is_discarded():
    received = NOON - submission.ABANDONED_AFTER
    abandoned = make_batch(items=3, accepted_at=None, received_at=received - MINUTE)
    comes_in = make_batch(items=3, accepted_at=None, received_at=received)
    make_batch(items=3)

    attend(NOON)

    assert Batch.get_or_none(Batch.id == abandoned.id) is None
    assert BatchItem.select().count() == 6
    assert after(comes_in).accepted_at is None


def test_statuses_of_runs_are_not_touched_by_looking():
    batch = make_batch(items=3, status=BatchStatus.RUNNING)
    made = [
        make_run(batch=batch, item_index=index, queue="local", status=status, finished_at=NOON)
        for index, status in enumerate((COMPLETED, FAILED))
    ]
    made.append(make_run(batch=batch, item_index=2, queue="local"))
    BatchProgress.update(taken=3, completed=1, failed=1, queued=1).execute()

    attend()

    assert [status_of(run.id) for run in made] == [COMPLETED, FAILED, QUEUED]


def test_those_behind_the_first_ones_have_their_turn_as_well(monkeypatch):
    monkeypatch.setattr(oversight, "_MOST", 2)
    for _ in range(4):
        reason = BatchReason.PAUSED_BY_REQUEST
        make_batch(items=1, status=BatchStatus.PAUSED, reason=reason)
    batch = make_ended(completed=10)
    overseer = Overseer(STALL)

    for _ in range(3):
        overseer.attend(LATER)

    assert after(batch).status is BatchStatus.COMPLETED
