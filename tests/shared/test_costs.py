"""What runs have used up, added up."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from factories import MINUTE, NOON, make_run, make_schedule

from shared import costs, db, retention
from shared.costs import GroupBy, Sums
from shared.ids import uuid7
from shared.models import Run
from shared.pages import Paging
from shared.states import CANCELLED, COMPLETED, FAILED, QUEUED, SKIPPED
from shared.time_range import TimeRange

pytestmark = pytest.mark.usefixtures("database")

DAY = timedelta(days=1)
UNKNOWN = Sums(1, None, None, None, None, 0)


def ended(cost=None, *, at=NOON, **values):
    made = {"status": COMPLETED, "started_at": at - MINUTE, "finished_at": at}
    return make_run(cost_usd=None if cost is None else Decimal(cost), **made | values)


def add_up(group_by=GroupBy.AGENT, *, since=NOON - 30 * DAY, until=NOON + DAY, zone="UTC", **asked):
    paging = asked.pop("paging", Paging(size=200))
    time_range = TimeRange.of(since, until, zone, now=NOON)
    return costs.page(group_by, time_range, asked, paging)


def by(group_by, **asked):
    _, page = add_up(group_by, **asked)
    return {key: sums.cost_usd for key, _, sums in page.rows}


def test_of_nothing_nothing_is_known():
    for group_by in GroupBy:
        total, page = add_up(group_by)

        assert total == Sums(0, None, None, None, None, 0)
        assert (page.rows, page.total) == ([], 0)


def test_all_that_runs_have_used_up_is_added_up():
    ended("0.25", input_tokens=100, output_tokens=10, compute_usd=Decimal("0.001"), model="m")
    ended("0.5", input_tokens=1, model="m")

    total, page = add_up()

    assert total == Sums(2, 101, 10, Decimal("0.75"), Decimal("0.001"), 0)
    assert page.rows == [("echo", None, total)]
    assert total.total_tokens == 111


@pytest.mark.parametrize("group_by", GroupBy)
def test_what_nobody_knows_is_null_and_what_is_for_nothing_is_zero(group_by):
    ended(None)
    unknown, page = add_up(group_by)
    ended("0")
    free, _ = add_up(group_by)

    assert unknown == page.rows[0][-1] == UNKNOWN
    assert unknown.total_tokens is None
    assert (free.runs, free.cost_usd) == (2, 0)


@pytest.mark.parametrize("group_by", GroupBy)
def test_runs_that_must_have_cost_something_and_do_not_say_what_are_counted(group_by):
    ended("0.25", model="m", input_tokens=1)
    ended("0", model="m", input_tokens=1)
    ended(None, input_tokens=0, output_tokens=0)
    for used in ({"model": "m"}, {"input_tokens": 1}, {"output_tokens": 1}):
        ended(None, **used)

    total, _ = add_up(group_by)

    assert (total.runs, total.unpriced_runs, total.cost_usd) == (6, 3, Decimal("0.25"))


def test_only_what_started_and_ended_counts():
    make_run(status=QUEUED)
    make_run(leased_by="worker-1")
    ended("1", status=FAILED)
    ended("2", status=CANCELLED)
    ended(status=CANCELLED, started_at=None)
    ended(status=SKIPPED, started_at=None)

    total, _ = add_up()

    assert (total.runs, total.cost_usd) == (2, 3)


def test_the_range_has_its_beginning_and_not_its_end():
    for number, at in enumerate((NOON - MINUTE, NOON, NOON + DAY - MINUTE, NOON + DAY)):
        ended(10**number, at=at)

    for group_by in (GroupBy.AGENT, GroupBy.DAY):
        total, _ = add_up(group_by, since=NOON, until=NOON + DAY)
        assert total.cost_usd == 110


def test_the_most_costly_come_first_and_what_nobody_knows_last():
    ended("1", agent="little")
    ended(None, agent="unknown")
    ended("2", agent="much")
    for _ in range(2):
        ended("0.5", agent="often")

    assert list(by(GroupBy.AGENT).items()) == [
        ("much", 2),
        ("often", 1),
        ("little", 1),
        ("unknown", None),
    ]


def test_groups_come_by_pages_and_the_total_with_each():
    for number in range(5):
        ended(number, agent=f"agent-{number}")

    pages = [add_up(paging=Paging(number=each, size=2)) for each in range(4)]

    assert [[key for key, _, _ in page.rows] for _, page in pages] == [
        ["agent-4", "agent-3"],
        ["agent-2", "agent-1"],
        ["agent-0"],
        [],
    ]
    assert {(total.cost_usd, page.total, page.pages) for total, page in pages} == {(10, 5, 3)}


def test_days_come_by_pages_as_well():
    for number in range(5):
        ended(number, at=NOON - number * DAY)

    total, page = add_up(GroupBy.DAY, paging=Paging(number=1, size=2))

    assert [key for key, _, _ in page.rows] == ["2026-11-20", "2026-11-21"]
    assert (total.cost_usd, page.total) == (10, 5)


def test_schedules_are_told_by_name_even_if_they_are_deleted():
    schedule = make_schedule(name="Of old", enabled=False, deleted_at=NOON)
    ended("1", schedule=schedule)
    ended("2")

    _, page = add_up(GroupBy.SCHEDULE)

    (none, unnamed, _), (key, name, _) = page.rows
    assert (none, unnamed) == (None, None)
    assert (db.uuid(key), name) == (schedule.id, "Of old")


def test_runs_that_name_no_model_are_a_group():
    ended("1", model="provider:one")
    ended("2", model=None)

    assert by(GroupBy.MODEL) == {None: 2, "provider:one": 1}


@pytest.mark.parametrize("group_by", GroupBy)
def test_it_can_be_that_of_one_agent_or_one_schedule(group_by):
    schedule = make_schedule()
    ended("1", schedule=schedule)
    ended("2", agent="another", schedule=schedule)
    ended("4")

    assert add_up(group_by, agent_id="echo")[0].cost_usd == 5
    assert add_up(group_by, schedule_id=schedule.id)[0].cost_usd == 3
    assert add_up(group_by, schedule_id=schedule.id, agent_id="echo")[0].cost_usd == 1
    assert add_up(group_by, schedule_id=uuid4())[0].runs == 0


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {"2026-03-28": 3, "2026-03-29": 12}),
        # Of the 29th there are 23 hours: the last of these is the first of the next day.
        ("Europe/Berlin", {"2026-03-28": 1, "2026-03-29": 6, "2026-03-30": 8}),
    ],
)
def test_days_are_those_of_the_clocks_of_a_zone(zone, expected):
    for number, hour in enumerate((22, 23, 45, 46)):
        at = datetime(2026, 3, 28, tzinfo=UTC) + timedelta(hours=hour, minutes=30)
        ended(2**number, at=at)

    found = by(
        GroupBy.DAY,
        since=datetime(2026, 3, 28, tzinfo=UTC),
        until=datetime(2026, 3, 31, tzinfo=UTC),
        zone=zone,
    )

    assert found == expected


def test_a_day_has_25_hours_when_clocks_go_back():
    # 2026-10-25 in Berlin, from 22:00 UTC to 23:00 UTC of the next day.
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)
    for number in range(27):
        ended("1", at=midnight + timedelta(hours=number - 1))

    assert by(GroupBy.DAY, zone="Europe/Berlin") == {
        "2026-10-24": 1,
        "2026-10-25": 25,
        "2026-10-26": 1,
    }


def test_days_without_a_run_are_left_out():
    ended("1", at=NOON - 5 * DAY)
    ended(None, at=NOON)

    assert by(GroupBy.DAY) == {"2026-11-17": 1, "2026-11-22": None}


@pytest.mark.parametrize("group_by", GroupBy)
def test_sums_are_exact_however_small_their_parts_or_large(group_by):
    agents = "echo", "another"
    for cost in ("99999998.999999",) * 8 + ("0.1",) * 50 + ("0.000001",) * 7:
        for agent in agents:
            ended(cost, agent=agent, input_tokens=2**31 - 1)

    total, page = add_up(group_by, agent_id="echo")
    both, _ = add_up()

    assert page.rows[0][-1] == total
    assert total.cost_usd == Decimal("799999996.999999")
    assert both.cost_usd == 2 * total.cost_usd
    assert both.input_tokens == 2 * total.input_tokens == 130 * (2**31 - 1)


def test_what_was_pruned_is_gone_from_it():
    old, new = (ended("1", at=at, id=uuid7(at)) for at in (NOON - 20 * DAY, NOON))

    for _ in retention.prune(days=10, now=NOON):
        pass

    assert [run.id for run in Run.select(Run.id)] == [new.id] != [old.id]
    assert add_up()[0].cost_usd == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("group_by", GroupBy)
def test_all_that_is_read_of_a_run_is_in_the_index(monkeypatch, group_by):
    execute, asked = db.execute, []
    monkeypatch.setattr(db, "execute", lambda *each: asked.append(each) or execute(*each))
    add_up(group_by, agent_id="echo")
    ((sql, values),) = asked

    with db.transaction(), db.proxy.atomic() as nothing_stays:
        # Of a table with next to nothing in it, PostgreSQL would read all, by whatever index.
        execute("SET LOCAL enable_seqscan = off")
        execute("SET LOCAL enable_bitmapscan = off")
        execute("DROP INDEX run_of_agent, run_of_schedule")
        plan = "\n".join(line for (line,) in execute(f"EXPLAIN {sql}", values).fetchall())
        nothing_stays.rollback()

    assert "Index Only Scan using run_costs on run" in plan
