"""The bare reference: the least that anybody could do to record and publish what is due.

It claims a thousand schedules at a time, computes each pair of expression and zone once, writes
by one statement for all of them, and publishes in one pipeline after the commit. It knows no
agents, policies, snapshots or errors, and never sends anything again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.fresh import peak_mib
from benchmarks.seed import NOON, PAIRS
from benchmarks.ticking import Storm
from shared import cron, messages
from shared.db import instant, stamp, uuid_hex
from shared.ids import uuid7_hex
from shared.messages import Sending

_AT_ONCE = 1000
Row = tuple[Any, ...]

_TABLES = """
    CREATE TABLE schedule (id {uuid} PRIMARY KEY, expr TEXT NOT NULL, zone TEXT NOT NULL,
      next {utc} NOT NULL);
    CREATE INDEX schedule_due ON schedule (next);
    CREATE TABLE run (id {uuid} PRIMARY KEY, schedule {uuid} NOT NULL, at {utc} NOT NULL,
      status TEXT NOT NULL, UNIQUE (schedule, at));
"""
_CLAIM = "SELECT id, expr, zone, next FROM schedule WHERE next <= ? ORDER BY next LIMIT ?"


class _Sqlite:
    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(urlsplit(url).path.removeprefix("/"))
        self._connection.isolation_level = None
        for pragma in ("journal_mode = wal", "synchronous = normal"):
            self._connection.execute(f"PRAGMA {pragma}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        yield
        self._connection.execute("COMMIT")

    def make(self, schedules: list[Row]) -> None:
        self._connection.executescript(_TABLES.format(uuid="TEXT", utc="TEXT"))
        with self.transaction():
            self._connection.executemany("INSERT INTO schedule VALUES (?, ?, ?, ?)", schedules)

    def claim(self) -> list[Row]:
        return self._connection.execute(_CLAIM, (stamp(NOON), _AT_ONCE)).fetchall()

    def record(self, runs: list[Row], moves: list[Row]) -> None:
        self._connection.executemany("INSERT INTO run VALUES (?, ?, ?, 'QUEUED')", runs)
        self._connection.executemany("UPDATE schedule SET next = ?2 WHERE id = ?1", moves)


class _Postgres:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET timezone = 'UTC'")
        self.transaction = self._connection.transaction

    def make(self, schedules: list[Row]) -> None:
        self._connection.execute(_TABLES.format(uuid="UUID", utc="TIMESTAMPTZ"))
        with self._connection.cursor().copy("COPY schedule FROM STDIN") as copy:
            for schedule in schedules:
                copy.write_row(schedule)

    def claim(self) -> list[Row]:
        claim = _CLAIM.replace("?", "%s")
        sql = f"{claim} FOR UPDATE SKIP LOCKED"
        return self._connection.execute(sql, (stamp(NOON), _AT_ONCE)).fetchall()

    def record(self, runs: list[Row], moves: list[Row]) -> None:
        self._connection.execute(
            "INSERT INTO run SELECT *, 'QUEUED'"
            " FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[])",
            [list(column) for column in zip(*runs, strict=True)],
        )
        self._connection.execute(
            "UPDATE schedule SET next = d.next"
            " FROM unnest(%s::uuid[], %s::timestamptz[]) d (id, next) WHERE schedule.id = d.id",
            [list(column) for column in zip(*moves, strict=True)],
        )


def seed(database_url: str, count: int) -> None:
    """Make the tables of the reference, and *count* schedules that are due at noon."""
    at = stamp(NOON)
    pairs = (PAIRS[number % len(PAIRS)] for number in range(count))
    _database(database_url).make([(uuid7_hex(NOON), *pair, at) for pair in pairs])


def storm(database_url: str, redis_url: str) -> Storm:
    """Record and publish everything that is due."""
    database, client = _database(database_url), messages.publisher(redis_url)
    upcoming: dict[Row, str] = {}
    started = perf_counter()
    while True:
        with database.transaction():
            due = database.claim()
            runs = [(uuid7_hex(NOON), uuid_hex(row[0]), row[3]) for row in due]
            for pair in {row[1:] for row in due} - upcoming.keys():
                upcoming[pair] = stamp(_after(*pair))
            if due:
                moves = [(uuid_hex(row[0]), upcoming[row[1:]]) for row in due]
                database.record(runs, moves)
        messages.send(client, messages.RUNS_QUEUE, (Sending(run[0], 0) for run in runs))
        if len(due) < _AT_ONCE:
            break
    seconds = perf_counter() - started
    return Storm(messages.waiting(client, messages.RUNS_QUEUE), seconds, peak_mib())


def _after(expression: str, zone: str, at: str | datetime) -> datetime:
    parsed = cron.parse(expression), cron.load_zone(zone)
    return next(cron.fire_times(*parsed, instant(at)))


def _database(url: str) -> _Sqlite | _Postgres:
    return _Sqlite(url) if url.startswith("sqlite") else _Postgres(url)
