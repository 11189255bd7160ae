"""The package of docs/plugin, as somebody would build, install, test and use it."""

import shutil
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clients import DOCUMENTED
from factories import make_run

from shared import clock
from shared.models import Schedule
from shared.settings import environment
from shared.states import COMPLETED

PACKAGE = Path(__file__).parent.parent.parent / "docs" / "plugin"
FEED = b"""<rss version="2.0"><channel>
<item><title>Of tomorrow</title><pubDate>Thu, 01 Jan 2099 00:00:00 GMT</pubDate></item>
<item><title>Of old</title><pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate></item>
</channel></rss>"""


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder in which the package is installed, from the wheel that it becomes."""
    source = tmp_path_factory.mktemp("plugin") / "source"
    shutil.copytree(PACKAGE, source)  # setuptools builds beside what it builds.
    site = source.with_name("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index"]
    alone = ["--no-deps", "--no-build-isolation", "--target", site]
    done = subprocess.run([*pip, *alone, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def feed():
    """The URL of a feed with one entry of old and one that is always new."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(FEED)))
            self.end_headers()
            self.wfile.write(FEED)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/feed.xml"
        server.shutdown()
        thread.join()


def test_its_own_tests_pass_on_what_was_built(built, tmp_path):
    (tests,) = PACKAGE.glob("test_*.py")
    shutil.copy(tests, tmp_path)
    pytest_itself = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]

    done = subprocess.run(
        pytest_itself,
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{built}:{PACKAGE.parent.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_an_agent_of_its_kind_runs_in_a_worker(system, built, feed):
    plugged_in = {
        "PYTHONPATH": str(built),
        "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES": "true",
        "AGENT_MANAGER_SECRET_FEED": "a-secret-of-the-feed",
    }
    for kind in ("web", "scheduler", "worker"):
        system.start(kind, environ=plugged_in)
    config = {"url": feed, "authorization": "Bearer ${secret:FEED}"}
    agent = {"id": "news", "name": "News", "kind": "feed", "config": config}

    status, refused = system.call("POST", "/api/v1/agents", agent | {"config": {"link": feed}})
    assert status == 422
    assert refused["errors"] == {
        "config.link": ["There is no such option; there are authorization, mostEntries, url."],
        "config.url": ["Give the URL of the feed to read."],
    }
    assert system.call("POST", "/api/v1/agents", agent)[0] == 201
    orders = DOCUMENTED | {"agentId": "news", "message": "News:", "enabled": False}
    schedule = system.call("POST", "/api/v1/schedules", orders)[1]["id"]
    first = trigger(system, schedule)
    succeed(schedule, clock.now() - timedelta(minutes=1))
    second = trigger(system, schedule)

    of_tomorrow = "News:\n\n- 2099-01-01: Of tomorrow"
    assert first["content"] == f"{of_tomorrow}\n- 2026-01-01: Of old"
    assert second["content"] == of_tomorrow
    assert second["metadata"] == {"entries": 2, "newEntries": 1}


def trigger(system, schedule):
    """A run of the schedule, once it is completed."""
    started = system.call("POST", f"/api/v1/schedules/{schedule}/trigger", {})[1]
    return system.wait_for_status(started["runId"], "COMPLETED")


def succeed(schedule, at):
    """Have had a run of the schedule at one of its fire times."""
    make_run(
        "news",
        kind="feed",
        schedule=Schedule.get_by_id(schedule),
        scheduled_for=at,
        status=COMPLETED,
        finished_at=at,
    )
