"""PostgreSQL rolls a transaction back for reasons of its own: it could not be serialized, or there
was a deadlock.
"""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from databases import on_postgres

from shared.tally import Count

pytestmark = [on_postgres, pytest.mark.slow]

# Of all statements that change something, one in four is rolled back.
REFUSING = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF random() < 0.25 THEN
      RAISE EXCEPTION 'refusal number %', nextval('refusals') USING ERRCODE = '{code}';
    END IF;
    RETURN NULL;
  END
$$;
{triggers}
"""
TRIGGER = """
CREATE TRIGGER refusing BEFORE INSERT OR UPDATE OR DELETE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""
TABLES = ("run", "run_event", "schedule", "worker", "scheduler", "tally", "audit_event")
# One after another: whoever reads, or is at work, locks tables in another order than this.
WILLING = (
    *(f"DROP TRIGGER refusing ON {table}" for table in TABLES),
    *("DROP FUNCTION refuse()", "DROP SEQUENCE refusals"),
)


@pytest.fixture
def refuse(system) -> Iterator[Callable[[str], None]]:
    """Have statements fail now and then with an SQLSTATE."""

    def begin(code: str) -> None:
        triggers = "".join(TRIGGER.format(table=table) for table in TABLES)
        execute(system, REFUSING.format(code=code, triggers=triggers))

    yield begin
    execute(system, *WILLING)


@pytest.fixture
def serializable(system) -> Iterator[None]:
    """Whoever connects has to reckon with transactions that cannot be serialized."""
    name = "default_transaction_isolation"
    execute(system, f"ALTER DATABASE test SET {name} = 'serializable'")
    yield
    execute(system, f"ALTER DATABASE test RESET {name}")


def execute(system, *statements):
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("40001", id="serialization_failure"),
        pytest.param("40P01", id="deadlock_detected"),
    ],
)
def test_what_is_rolled_back_again_and_again_is_done_in_the_end(
    code, system, refuse, outside, orders, checked
):
    agent, failing = outside.agent(seconds=0.1), outside.agent(fails=1)
    orders.one_time(15, agent)
    orders.one_time(5, failing, retry_backoff_seconds=1)
    refuse(code)

    system.start_all("web", "scheduler", "scheduler", "worker", "worker")
    answers = [ask_until_accepted(system, agent, f"key {number}") for number in range(15)]

    orders.runs += [answer["runId"] for answer in answers]
    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
    with psycopg.connect(system.database_url) as connection:
        (refused,) = connection.execute("SELECT last_value FROM refusals").fetchone()
    assert refused > 20


def test_all_goes_on_where_transactions_are_serializable(
    system, serializable, outside, orders, checked
):
    agent, single = outside.agent(seconds=0.1), outside.agent(max_concurrency=1)
    orders.one_time(15, agent)
    orders.minutely(3, agent)

    system.start_all("web", "scheduler", "scheduler", "worker", "worker")
    answers = [ask_until_accepted(system, single, f"key {number}") for number in range(15)]
    system.wait_until_counted(Count.DATABASE_RETRIES)

    orders.runs += [answer["runId"] for answer in answers]
    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}


def ask_until_accepted(system, agent, key):
    """Ask for a run, as a client does that repeats what was answered with 503."""
    path = f"/api/v1/agents/{agent}/runs/background"
    while True:
        status, answer = system.call("POST", path, {"message": "Go"}, key=key)
        if status == 202:
            return answer
        assert status == 503, answer
