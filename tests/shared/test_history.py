"""The reading of runs."""

from uuid import UUID, uuid4

import pytest
from factories import MINUTE, NOON, make_run

from shared import history
from shared.errors import Invalid, NotFound
from shared.history import RUNS
from shared.models import RunEvent
from shared.pages import DEEPEST, LARGEST_SIZE, Page, Paging
from shared.states import FAILED

pytestmark = pytest.mark.usefixtures("database")


def ids(page):
    index = list(RUNS.columns).index("id")
    return [UUID(row[index]) for row in page.rows]


def test_the_newest_come_first():
    made = sorted(make_run().id for _ in range(3))

    assert ids(history.page({}, Paging())) == made[::-1]


def test_each_run_is_on_one_page():
    made = {make_run().id for _ in range(5)}

    pages = [history.page({}, Paging(number, 2)) for number in range(4)]

    assert [len(page.rows) for page in pages] == [2, 2, 1, 0]
    assert {run_id for page in pages for run_id in ids(page)} == made
    assert {(page.total, page.pages) for page in pages} == {(5, 3)}


def test_what_is_null_comes_last_either_way():
    none = make_run().id
    some = make_run(status=FAILED, finished_at=NOON).id

    for descending in (False, True):
        page = history.page({}, Paging(sort=("finishedAt", descending)))
        assert ids(page) == [some, none]


def test_equal_runs_have_an_order_all_the_same():
    made = sorted(make_run().id for _ in range(4))

    ascending = history.page({}, Paging(sort=("queuedAt", False)))
    descending = history.page({}, Paging(sort=("queuedAt", True)))

    assert ids(ascending) == made
    assert ids(descending) == made[::-1]


def test_an_order_that_there_is_not_is_refused():
    with pytest.raises(Invalid, match="sort"):
        history.page({}, Paging(sort=("message", False)))


def test_filters_narrow_together():
    early = make_run(queued_at=NOON).id
    make_run(queued_at=NOON + MINUTE)
    make_run("other", queued_at=NOON)

    page = history.page({"agent_id": "echo", "until": NOON + MINUTE}, Paging())

    assert ids(page) == [early]


@pytest.mark.parametrize(
    ("number", "size"), [(-1, 20), (0, 0), (0, LARGEST_SIZE + 1), (DEEPEST, 2)]
)
def test_no_page_is_beyond_bounds(number, size):
    with pytest.raises(Invalid):
        Paging(number, size)


def test_pages_are_counted_upwards():
    assert [Page([], 0, 20, total).pages for total in (0, 1, 20, 21)] == [0, 1, 1, 2]


def test_events_come_in_order():
    run = make_run()
    for seq in (3, 1, 2):
        RunEvent.create(run=run, seq=seq, at=NOON, attempt=1, type="log")

    page = history.events(run.id, Paging(size=2))

    assert [row[0] for row in page.rows] == [1, 2]
    assert page.total == 3


def test_what_is_unknown_is_not_found():
    with pytest.raises(NotFound):
        history.get(uuid4())
    with pytest.raises(NotFound):
        history.events(uuid4(), Paging())
    assert history.made_with("key") is None


def test_a_run_is_found_by_its_key():
    run = make_run(idempotency_key="key")

    assert history.made_with("key") == run.id
