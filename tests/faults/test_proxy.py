"""The proxy that breaks connections: what it passes on, and what it does not."""

import psycopg
import pytest
import redis
from databases import on_postgres
from redis.backoff import NoBackoff
from redis.retry import Retry


@pytest.fixture
def client(redis_proxy):
    with redis.Redis.from_url(
        redis_proxy.redis_url,
        socket_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    ) as client:
        yield client


pytestmark = on_postgres


def test_it_passes_on_until_it_is_told_otherwise(client, redis_proxy):
    assert client.ping()

    redis_proxy.cut()

    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert client.ping()


def test_a_stall_keeps_what_is_sent_until_it_heals(client, redis_proxy, valkey):
    client.ping()
    redis_proxy.stall()
    with pytest.raises(redis.TimeoutError):
        client.set("key", "value")
    with redis.Redis.from_url(valkey) as direct:
        assert direct.get("key") is None

    redis_proxy.heal()

    assert client.ping()


def test_it_refuses_until_it_heals(client, redis_proxy):
    redis_proxy.refuse()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()

    redis_proxy.heal()

    assert client.ping()


def test_a_swallowed_answer_belongs_to_a_request_that_was_carried_out(client, redis_proxy):
    redis_proxy.swallow(b"\r\nSET\r\n")
    with pytest.raises(redis.ConnectionError):
        client.set("key", "value")

    assert client.get("key") == b"value"
    assert redis_proxy.swallowed == 1


def test_the_answer_to_a_commit_can_be_lost(system, postgres_proxy):
    url = system.environ["DATABASE_URL"]
    postgres_proxy.swallow(b"COMMIT")
    with (
        pytest.raises(psycopg.OperationalError),
        psycopg.connect(url) as connection,
    ):
        connection.execute("CREATE TABLE committed ()")

    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE committed")


def test_what_is_stranded_stands_still_while_new_connections_work(client, redis_proxy, valkey):
    client.ping()
    redis_proxy.strand()
    with pytest.raises(redis.TimeoutError):
        client.set("key", "value")
    with redis.Redis.from_url(valkey) as direct:
        assert direct.get("key") is None

    assert client.ping()


def test_a_delay_is_one_of_each_direction(client, redis_proxy):
    client.ping()
    redis_proxy.delay(0.3)

    with pytest.raises(redis.TimeoutError):
        client.ping()

    redis_proxy.heal()
    assert client.ping()
