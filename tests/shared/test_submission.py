"""Batches come in whole or not at all, however many items they have and whoever dies meanwhile."""

from datetime import timedelta
from decimal import Decimal

import pytest
from factories import MINUTE, NOON, make_agent, make_batch, make_run, make_worker

from shared import compute, db
from shared.batches import estimates, row, submission
from shared.batches.models import Batch, BatchItem, BatchProgress
from shared.batches.submission import Item, Orders
from shared.errors import Conflict, Invalid
from shared.idempotency import IdempotencyKey
from shared.models import Agent
from shared.pages import Paging
from shared.states import COMPLETED

pytestmark = pytest.mark.usefixtures("database")

KEY = IdempotencyKey("k", "hash")


@pytest.fixture(autouse=True)
def agent(database):
    return make_agent("writer", config={"delaySeconds": 1}, timeout_seconds=77)


def orders(**values):
    return Orders(**{"name": "Letters", "agent_id": "writer"} | values)


def items(count, since=0):
    return [Item(f"key-{n}", f"Letter {n}", {"n": n}) for n in range(since, since + count)]


def begun(**values):
    submitted = submission.check(orders(**values), threads=8, now=NOON)
    submission.begin(submitted, now=NOON)
    return submitted


def write(submitted, some):
    submission.write(submitted, some, lambda: NOON)


def accept(submitted, key=None, now=NOON):
    with db.transaction():
        return submission.accept(submitted, key=key, now=now)


def submit(count=3, key=None, **values):
    submitted = begun(**values)
    write(submitted, items(count))
    accept(submitted, key)
    return Batch.get_by_id(submitted.id)


def seen():
    """What anybody gets to see."""
    return [row[0] for row in row.BATCHES.page({}, Paging()).rows]


def left():
    return [table.select().count() for table in (Batch, BatchProgress, BatchItem)]


def test_it_is_seen_once_it_is_accepted_and_not_before():
    submitted = begun()
    write(submitted, items(3))
    before = seen()

    accept(submitted)

    assert (before, len(seen())) == ([], 1)
    progress = BatchProgress.get_by_id(submitted.id)
    assert (progress.total, progress.taken) == (3, 0)


def test_its_items_are_kept_as_they_came():
    batch = submit(3)

    rows = BatchItem.select().where(BatchItem.batch == batch).order_by(BatchItem.item_index)
    assert [(row.item_index, row.item_key, row.message, row.metadata) for row in rows] == [
        (n, f"key-{n}", f"Letter {n}", {"n": n}) for n in range(3)
    ]


def test_it_keeps_a_copy_of_its_orders():
    compute.create("spot", {"price_per_hour": Decimal("0.5"), "spot": True}, now=NOON)
    batch = submit(compute="spot")
    Agent.update(config={}, timeout_seconds=1).execute()
    compute.change(compute.locked("spot"), {"price_per_hour": Decimal(9)}, now=NOON)

    batch = Batch.get_by_id(batch.id)
    assert (batch.kind, batch.config, batch.timeout_seconds) == ("echo", {"delaySeconds": 1}, 77)
    assert (batch.queue, batch.price_per_hour) == ("spot", Decimal("0.5"))
    assert batch.compute["pricePerHour"] == 0.5


def test_items_are_written_a_thousand_at_a_time_so_that_nobody_waits_for_long(monkeypatch):
    written = []
    execute = db.execute

    def spy(sql, values=None):
        written.append("INSERT INTO batch_item" in sql)
        return execute(sql, values)

    monkeypatch.setattr(db, "execute", spy)
    submit(2500)

    assert sum(written) == 3
    assert BatchItem.select().count() == 2500


def test_long_ones_are_written_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(submission, "_CHARACTERS_AT_ONCE", 100)
    submitted = begun()

    chunks = list(submission._chunks([Item(None, "x" * 60, {})] * 5))
    write(submitted, [Item(None, "x" * 60, {})] * 5)

    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    assert BatchItem.select().count() == 5


def test_metadata_count_for_how_much_is_written_at_once():
    some = [Item(None, "Hello", {"a": "x" * 60_000})] * 100

    assert max(map(len, submission._chunks(some))) < 20


def test_what_is_discarded_leaves_nothing(monkeypatch):
    monkeypatch.setattr(submission, "_DISCARDED_AT_ONCE", 10)
    submitted = begun()
    write(submitted, items(25))

    submission.discard(submitted.id)

    assert left() == [0, 0, 0]


def test_what_was_accepted_is_not_discarded():
    batch = submit(3)

    submission.discard(batch.id)

    assert left() == [1, 1, 3]


def test_what_was_discarded_meanwhile_takes_nothing_more():
    submitted = begun()
    write(submitted, items(3))
    submission.discard(submitted.id)

    with pytest.raises(Conflict, match="took too long to come in and was discarded"):
        write(submitted, items(3, since=3))
    with pytest.raises(Conflict, match="took too long to come in and was discarded"):
        accept(submitted)
    assert left() == [0, 0, 0]


def test_somebody_who_is_slow_is_given_time():
    submitted = submission.check(orders(), threads=8, now=NOON)
    submission.begin(submitted, now=NOON)
    for minute in range(1, 30):
        now = NOON + minute * MINUTE
        submission.write(submitted, items(1, since=minute), lambda: now)  # noqa: B023 - called at once
        submission.discard_abandoned(now)

    assert BatchItem.select().count() == 29


def test_the_same_key_gives_the_same_batch():
    first = submit(key=KEY)
    second = begun()
    write(second, items(3))

    assert accept(second, KEY) == first.id
    assert Batch.get_by_id(second.id).accepted_at is None


def test_the_same_key_with_another_request_is_refused():
    submit(key=KEY)
    second = begun()

    with pytest.raises(Invalid):
        accept(second, IdempotencyKey("k", "another"))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"agent_id": "nobody"}, "agentId"),
        ({"notify_agent_id": "nobody"}, "notifyAgentId"),
        ({"compute": "nowhere"}, "compute"),
        ({"deadline": NOON}, "deadline"),
    ],
)
def test_orders_that_cannot_be_followed_are_refused_before_anything_is_written(values, field):
    with pytest.raises(Invalid) as refused:
        begun(**values)

    assert list(refused.value.fields) == [field]
    assert left() == [0, 0, 0]


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(Invalid) as refused:
        begun(agent_id="nobody", compute="nowhere", deadline=NOON - MINUTE)

    assert set(refused.value.fields) == {"agentId", "compute", "deadline"}


def test_an_agent_that_is_disabled_runs_no_batch():
    Agent.update(enabled=False).execute()

    with pytest.raises(Conflict, match="is disabled"):
        begun()


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"enabled": False, "deleted_at": NOON}],
)
def test_an_agent_that_went_away_while_the_items_came_in_runs_none_of_them(change):
    submitted = begun()
    write(submitted, items(3))
    Agent.update(**change).execute()

    with pytest.raises((Conflict, Invalid)):
        accept(submitted)

    assert seen() == []


def test_a_batch_of_nothing_is_refused():
    submitted = begun()

    with pytest.raises(Invalid):
        accept(submitted)


def test_what_it_will_cost_is_on_record_before_it_runs():
    compute.create("spot", {"price_per_hour": Decimal("36")}, now=NOON)
    make_worker(queues=["spot"], threads=4)
    for _ in range(3):
        make_run(
            "writer",
            status=COMPLETED,
            started_at=NOON,
            finished_at=NOON + timedelta(seconds=2),
            cost_usd=Decimal("0.1"),
        )

    batch = submit(100, compute="spot")

    estimate = estimates.Estimate.from_json(batch.estimate)
    # A dime, and two seconds of a fourth of a machine at a cent a second.
    assert estimate.range == pytest.approx((100 * (0.1 + 0.005),) * 2)
    assert (estimate.measured_runs, estimate.says) == (3, None)


def test_a_batch_in_use_keeps_its_agents_from_being_deleted():
    from shared import agents

    make_agent("teller")
    make_batch("writer", notify_agent_id="teller")

    for agent_id in ("writer", "teller"):
        with pytest.raises(Conflict, match="used by 1 batch under way"):
            agents.delete(agents.locked(agent_id), now=NOON)


def test_one_of_many_items_is_discarded_some_at_a_time(monkeypatch):
    monkeypatch.setattr(submission, "_DISCARDED_AT_ONCE", 2)
    submitted, other = begun(), begun()
    write(submitted, items(5))
    write(other, items(3))

    submission.discard(submitted.id)

    assert left() == [1, 1, 3]
