"""Connections to PostgreSQL on which nothing lasts for ever. Needs the extra `postgres`."""

import select
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from peewee import Psycopg3Adapter
from playhouse.pool import PooledPostgresqlDatabase
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

T = TypeVar("T")

_WAKE_UP_SECONDS = 0.1
# How much later than the server we give up: it has the first word, as long as it has any.
_GRACE_SECONDS = 1.0


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is ended when the server does not answer in time.

    TCP notices a server that is gone, and never one that is there and stands still.
    """

    #: How long to wait for an answer. None: for ever.
    seconds: float | None = None

    def wait(
        self, gen: PQGen[T], interval: float = _WAKE_UP_SECONDS, timeout: float | None = None
    ) -> T:
        """Wait for the server. Raises `psycopg.OperationalError` after so many `seconds`."""
        try:
            return super().wait(gen, interval, self.seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # The answer may still come, and would be taken for that of the next statement.
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server did not answer within {self.seconds} seconds"
            ) from error


class _Adapter(Psycopg3Adapter):
    def connect(self, db: "ImpatientDatabase", **params: Any) -> ImpatientConnection:
        connection = ImpatientConnection.connect(dbname=db.database, **params)
        if db.patience is not None:
            connection.seconds = db.patience.total_seconds() + _GRACE_SECONDS
        return connection

    def is_connection_closed(self, conn: ImpatientConnection) -> bool:
        """Whether *conn*, which is idle in the pool, is of no more use.

        An idle server says nothing, unless it ends. Where it is silent it need not be asked, which
        would be one more statement for each unit of work.
        """
        is_idle = conn.pgconn.transaction_status == TransactionStatus.IDLE
        if is_idle and not _has_been_sent_something(conn):
            return False
        closed: bool = super().is_connection_closed(conn)
        return closed


def _has_been_sent_something(conn: ImpatientConnection) -> bool:
    waiting = select.poll()
    waiting.register(conn.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class ImpatientDatabase(PooledPostgresqlDatabase):  # type: ignore[misc] # it has no types
    """A pool of connections on which no statement lasts longer than *patience*, if that is given.

    The server ends the statement itself, where it can; and a transaction in which nothing happens
    for so long because its client is frozen or lost, so that nobody waits for the locks of that.
    """

    psycopg3_adapter = _Adapter

    def __init__(
        self, database: str, *, patience: timedelta | None, options: str, **more: Any
    ) -> None:
        self.patience = patience
        milliseconds = round(patience / timedelta(milliseconds=1)) if patience else 0
        bounds = (
            f"-c statement_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={milliseconds}"
        )
        super().__init__(database, prefer_psycopg3=True, options=f"{bounds} {options}", **more)

    def rollback(self) -> None:
        """Roll back, unless the connection has ended; what ended it is what is to be heard of."""
        if not self.connection().closed:
            super().rollback()

    def _can_reuse(self, conn: ImpatientConnection) -> bool:
        reusable: bool = super()._can_reuse(conn)
        if not reusable:
            # What has idled meanwhile may stand still as well; nobody is to wait for each in turn.
            self.close_idle()
        return reusable
