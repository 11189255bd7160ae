"""Redis is not there yet when the processes start, or is not one to be trusted."""

import pytest
import redis
from servers import Valkey
from waiting import wait_until


@pytest.fixture
def own_valkey(system):
    """A Valkey server of the test's own, which does not run yet; the system is told to use it."""
    server = Valkey()
    system.environ["REDIS_URL"] = server.url
    try:
        yield server
    finally:
        server.__exit__()


def test_processes_that_start_before_redis_record_and_wait(system, own_valkey):
    processes = [system.start(kind) for kind in ("web", "scheduler", "worker")]
    path = "/api/v1/agents/finance_agent/runs/background"
    status, run = system.call("POST", path, {"message": "Go"})
    for doing in ("dispatch", "fetch messages from Redis"):
        wait_until(lambda doing=doing: f"cannot {doing}, will keep trying" in system.logs(), doing)
    unready, readiness = system.call("GET", "/readyz")

    own_valkey.start()

    assert (status, run["status"]) == (202, "QUEUED")
    assert (unready, readiness["checks"]["redis"]["status"]) == (503, "fail")
    system.wait_for_status(run["runId"], "COMPLETED")
    wait_until(lambda: system.call("GET", "/readyz")[0] == 200, "all to be ready")
    assert [process.poll() for process in processes] == [None] * 3
    for doing in ("dispatch", "fetch messages from Redis"):
        assert system.logs().count(f"cannot {doing}, will keep trying") == 1
        assert system.logs().count(f"can {doing} again") == 1
    assert "Traceback" not in system.logs()


@pytest.mark.parametrize("kind", ["scheduler", "worker"])
def test_a_redis_that_would_lose_messages_is_refused(system, own_valkey, kind):
    own_valkey.start()
    with redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    process = system.start(kind)

    assert process.wait(20) == 1
    assert "Redis evicts: its policy is allkeys-lru. Set its" in system.logs()
    assert "Traceback" not in system.logs()
