"""A request's unit of work, on a connection of its own.

SQLite keeps one connection a thread; those of PostgreSQL go back to the pool, for there are more
threads than connections: some of them only watch.
"""

from collections.abc import Callable
from datetime import datetime

from flask import Response

from api.services import services
from shared import db, failpoints, tally
from shared.tally import Count


def unit(serve: Callable[[], Response], *, reads: bool) -> Response:
    """Serve on a connection, or on another one should its server have been restarted.

    What only *reads* is simply done again. What changes something must not be, so the connection
    is tried before.
    """
    if reads:
        db.proxy.connect(reuse_if_open=True)
    else:
        connect()
    try:
        response = serve()
    except db.UNREACHABLE:
        _renew()
        if not reads:
            raise
        response = serve()
    finally:
        if not db.is_sqlite():
            db.proxy.close()
    services().database_trouble.ends()
    response.call_on_close(services().bookkeeper.answered)
    if not reads:
        failpoints.reach("api.after_commit")
    return response


def release() -> None:
    """Give the connection back before the client is waited for; whoever needs one opens another."""
    if not db.is_sqlite():
        db.proxy.close()


def connect() -> None:
    """Have the connection be one that answers, with what `now` goes by.

    Raises one of `shared.db.UNREACHABLE`.
    """
    db.proxy.connect(reuse_if_open=True)
    try:
        services().clock.look()
    except db.UNREACHABLE:
        _renew()
        services().clock.look()


def now() -> datetime:
    """The current instant by the database's clock, for a request that changes something."""
    return services().clock.now()


def _renew() -> None:
    tally.add(Count.DATABASE_RETRIES)
    db.proxy.close()
    db.proxy.connect()
