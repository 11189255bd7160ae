"""The list of schedules as an ordinary good FastAPI service would have it.

The same query and count, the same answer, tokens remembered for as long. PostgreSQL is asked
through psycopg's asynchronous pool; SQLite right in the loop, which is the fastest way there is.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, ConfigDict, Json
from pydantic.alias_generators import to_camel

_REMEMBERED_SECONDS = 1.0

_LIST = """
    SELECT s.id, s.name, s.agent_id, s.message, s.cron_expression, s.run_at, s.enabled,
      s.timezone, s.start_at, s.end_at, s.overlap_policy, s.catch_up_policy,
      s.catch_up_window_seconds, s.jitter_seconds, s.timeout_seconds, s.max_attempts,
      s.retry_backoff_seconds, s.priority, s.keep_last, s.tags, s.created_at, s.updated_at,
      s.next_run_at, s.description, s.error, s.version, r.id AS run_id, r.status, r.scheduled_for,
      r.started_at, r.finished_at
    FROM schedule s LEFT JOIN run r ON r.id = s.last_run_id
    WHERE s.deleted_at IS NULL ORDER BY s.id DESC LIMIT ? OFFSET ?
"""
_COUNT = "SELECT count(*) AS total FROM schedule WHERE deleted_at IS NULL"
_TOKEN = "SELECT role FROM api_token WHERE token_hash = ? AND revoked_at IS NULL"


class Wire(BaseModel):
    """The base of what is answered."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class LastRun(Wire):
    """The latest run of a schedule."""

    run_id: UUID
    status: str
    scheduled_for: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class Schedule(Wire):
    """A standing order."""

    id: UUID
    name: str
    agent_id: str
    message: str
    cron_expression: str | None
    run_at: datetime | None
    enabled: bool
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    overlap_policy: str
    catch_up_policy: str
    catch_up_window_seconds: int
    jitter_seconds: int
    timeout_seconds: int | None
    max_attempts: int
    retry_backoff_seconds: int
    priority: int
    keep_last: int | None
    tags: list[str] | Json[list[str]]
    created_at: datetime
    updated_at: datetime
    next_run_at: datetime | None
    last_run: LastRun | None
    description: str
    error: str | None
    version: int


class Page(Wire):
    """Some schedules, and how many there are."""

    content: list[Schedule]
    number: int
    size: int
    total_elements: int
    total_pages: int


class Database(Protocol):
    """What the endpoints ask."""

    async def fetch(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """The rows that *sql* selects."""


class Postgres:
    """PostgreSQL, through a pool."""

    def __init__(self, url: str) -> None:
        options = {"row_factory": dict_row, "autocommit": True}
        self.pool = AsyncConnectionPool(url, min_size=4, max_size=10, open=False, kwargs=options)

    async def fetch(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """The rows that *sql* selects."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(sql.replace("?", "%s"), values)
            rows: list[Any] = await cursor.fetchall()
            return rows


class Sqlite:
    """SQLite, on one connection."""

    def __init__(self, url: str) -> None:
        path = urlsplit(url).path.removeprefix("/")
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA cache_size = -8000")  # As ours.

    async def fetch(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """The rows that *sql* selects."""
        return [dict(row) for row in self._connection.execute(sql, values)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the pool in the process that serves."""
    if isinstance(database, Postgres):
        await database.pool.open(wait=True)
    yield


url = os.environ["DATABASE_URL"]
database: Database = Sqlite(url) if url.startswith("sqlite") else Postgres(url)
app = FastAPI(lifespan=lifespan)
_known: dict[str, tuple[str, float]] = {}


async def role(sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """The role of the token that came with the request."""
    token_hash = hashlib.sha256(sent.credentials.encode()).hexdigest()
    known = _known.get(token_hash)
    if known is None or known[1] < time.monotonic():
        rows = await database.fetch(_TOKEN, token_hash)
        if not rows:
            raise HTTPException(401)
        known = _known[token_hash] = rows[0]["role"], time.monotonic() + _REMEMBERED_SECONDS
    return known[0]


@app.get("/api/v1/schedules")
async def schedules(
    role: Annotated[str, Depends(role)],
    page: Annotated[int, Query(ge=0)] = 0,
    size: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Page:
    """List schedules."""
    (counted,) = await database.fetch(_COUNT)
    rows = await database.fetch(_LIST, size, page * size)
    total = counted["total"]
    return Page(
        content=[
            Schedule(**row, last_run=LastRun(**row) if row["run_id"] else None) for row in rows
        ],
        number=page,
        size=size,
        total_elements=total,
        total_pages=-(-total // size),
    )
