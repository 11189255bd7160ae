"""The promises of every kind, tried on `feed`; and what is its own."""

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from agent_manager_feed import MOST_READ, FeedAgent

from worker.agents.contract import AgentContract
from worker.agents.protocol import AgentError
from worker.agents.trial import make_context

RSS = """<?xml version="1.0"?>
<rss version="2.0"><channel><title>News</title>
<item><title>The  newest</title><link>https://example.com/2</link>
  <pubDate>Sun, 22 Nov 2026 12:00:00 GMT</pubDate></item>
<item><title>An old one</title><pubDate>Sat, 21 Nov 2026 08:00:00 +0200</pubDate></item>
<item><title>Whenever</title></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title>
<entry><title type="html">The newest</title><link rel="self" href="https://example.com/feed"/>
  <link href="https://example.com/2"/><updated>2026-11-22T12:00:00Z</updated></entry>
</feed>"""
BOMB = """<?xml version="1.0"?><!-- <rss> --><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<rss><channel><item><title>&b;</title></item></channel></rss>"""
ENTITY = """<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss>&a;</rss>"""


class Server(ThreadingHTTPServer):
    """Serves `feed`; shows in it what it was sent, fails at some paths, keeps silent at /silent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.feed = RSS.encode()
        self.asked, self.closing = threading.Event(), threading.Event()


class Handler(BaseHTTPRequestHandler):
    failing = {"/broken": 503, "/missing": 404, "/moved": 301}

    def do_GET(self) -> None:
        self.server.asked.set()
        if self.path == "/silent":
            self.server.closing.wait()
            return
        shown = self.headers.get("Authorization", "").encode()
        self.send_response(self.failing.get(self.path, 200))
        self.end_headers()
        self.wfile.write(self.server.feed.replace(b"The  newest", b"The  newest " + shown))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


class TestFeed(AgentContract):
    kind = "feed"
    refused = {"url": "example.com", "authorization": "${secret:}", "mostEntries": 0}

    @pytest.fixture(autouse=True)
    def _served(self, server):
        self.asked = server.asked
        authorized = {"authorization": "Bearer ${secret:CONTRACT}"}
        self.config = {"url": f"{server.url}/feed", **authorized}
        self.slow_config = {"url": f"{server.url}/silent", **authorized}
        self.failing_config = {"url": f"{server.url}/broken", **authorized}

    def under_way(self, trial, seconds):
        self.asked.wait(seconds)


@pytest.fixture
def read(server):
    """Reads a feed as an agent of the kind would."""

    def read(feed=RSS, *, path="/", options=None, **context):
        server.feed = feed if isinstance(feed, bytes) else feed.encode()
        config = FeedAgent.config_schema().load({"url": server.url + path, **(options or {})})
        return FeedAgent(config).run("News:", make_context(**context))

    return read


def test_all_is_new_at_first(read):
    result = read(RSS)

    assert result.content == (
        "News:\n\n"
        "- 2026-11-22: The newest https://example.com/2\n"
        "- 2026-11-21: An old one\n"
        "- undated: Whenever"
    )
    assert result.metadata == {"entries": 3, "newEntries": 3}


@pytest.mark.parametrize("feed", [RSS.replace("<item><title>Whenever</title></item>", ""), ATOM])
def test_then_only_what_is_newer_than_the_previous_success(read, feed):
    before = read(feed, previous_success=datetime(2026, 11, 21, 6, 0, tzinfo=UTC))
    after = read(feed, previous_success=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))

    assert before.content == "News:\n\n- 2026-11-22: The newest https://example.com/2"
    assert after.content == "News:\n\nNothing is new."


def test_no_more_is_told_than_is_wanted(read):
    assert read(RSS, options={"mostEntries": 1}).content.endswith("example.com/2\n- and 2 more")


@pytest.mark.parametrize(
    ("feed", "says"),
    [
        (BOMB, "declares a document type"),
        (ENTITY, "declares a document type"),
        (BOMB.encode("utf-16"), "UTF-16"),
        ("\ufeff" + ENTITY, "declares a document type"),
        ("<html></html>", "neither RSS nor Atom"),
        ("It works!", "not XML"),
        ('<?xml version="1.0" encoding="rot13"?><rss/>', "not XML"),
        ('<?xml version="1.0" encoding="shift_jis"?><rss/>', "not XML"),
        (b"<rss>" + b" " * MOST_READ, "longer than"),
    ],
)
def test_what_is_no_feed_or_a_hostile_one_is_refused(read, feed, says):
    with pytest.raises(AgentError, match=says) as raised:
        read(feed)

    assert not raised.value.retryable


@pytest.mark.parametrize(
    "date",
    ["", "soon", "9" * 5000, "0001-01-01T00:00:00+14:00", "Fri, 31 Dec 9999 23:59:00 -1200"],
)
def test_a_date_that_is_none_makes_an_entry_undated(read, date):
    feed = f"<rss><channel><item><pubDate>{date}</pubDate></item></channel></rss>"

    assert read(feed).content == "News:\n\n- undated: untitled"


@pytest.mark.parametrize(
    ("path", "retryable"), [("/broken", True), ("/missing", False), ("/moved", False)]
)
def test_only_what_may_pass_is_tried_again(read, path, retryable):
    with pytest.raises(AgentError, match="only 200 will do") as raised:
        read(path=path)

    assert raised.value.retryable is retryable


def test_a_secret_that_would_break_out_of_its_header_is_not_sent(read, server):
    with pytest.raises(AgentError, match="not one line"):
        read(options={"authorization": "${secret:KEY}"}, secrets={"KEY": "a\r\nX-Admin: yes"})

    assert not server.asked.is_set()
