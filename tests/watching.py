"""How tests hear what is told to whoever watches: server-sent events."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import psycopg
from system import ADMIN_TOKEN
from werkzeug.test import TestResponse


class Event(NamedTuple):
    """An event, as the standard says how to read it."""

    name: str
    id: str | None
    data: Any

    @classmethod
    def read(cls, text: str) -> Self:
        """The event that *text*, up to the empty line, is."""
        *lines, last, end = re.split("\r\n|\n|\r", text)
        assert (last, end) == ("", "")
        fields = [line.split(": ", 1) for line in lines]
        assert [name for name, _ in fields] in (["id", "event", "data"], ["event", "data"])
        values = dict(fields)
        return cls(values["event"], values.get("id"), json.loads(values["data"]))


def events(response: TestResponse) -> Iterator[Event]:
    """The events of a response that is still being written."""
    return (Event.read(text.decode()) for text in response.response)


def connect_to(port: int, path: str, headers: dict[str, str]) -> http.client.HTTPConnection:
    """A connection of its own to a real server, which was asked for what there is to watch."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"} | headers
    connection.request("GET", f"/api/v1{path}", headers=headers)
    return connection


def next_event(response: http.client.HTTPResponse) -> Event | None:
    """The next event; None: the server has ended the answer as it should."""
    lines = []
    while (line := response.readline().decode()) not in ("", "\n"):
        lines.append(line)
    return Event.read("".join([*lines, line])) if lines else None


def threads() -> list[threading.Thread]:
    """Those that look at what is watched."""
    return [each for each in threading.enumerate() if each.name == "live"]


def connections_to(database_url: str) -> int:
    """How many connections processes of ours have to a server of databases, if it is one."""
    if database_url.startswith("sqlite"):
        return 0
    with psycopg.connect(database_url) as connection:
        (count,) = connection.execute(
            """
            SELECT COUNT(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'agent-manager'
            """
        ).fetchone()
    return int(count)
