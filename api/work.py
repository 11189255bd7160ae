"""A request's unit of work, on a connection that its thread keeps from one request to the next.

The pool tries a connection whenever it hands it out; to find out by using it is faster.
"""

from collections.abc import Callable

from flask import Response

from api.services import services
from shared import db, failpoints, tally
from shared.tally import Count


def unit(serve: Callable[[], Response], *, reads: bool) -> Response:
    """Serve on the kept connection, or on a new one should its server have been restarted.

    What only *reads* is simply done again. What changes something must not be, so the connection
    is tried before.
    """
    db.proxy.connect(reuse_if_open=True)
    if not reads and not _answers():
        _renew()
    try:
        response = serve()
    except db.UNREACHABLE:
        _renew()
        if not reads:
            raise
        response = serve()
    services().database_trouble.ends()
    response.call_on_close(services().bookkeeper.answered)
    if not reads:
        failpoints.reach("api.after_commit")
    return response


def _answers() -> bool:
    try:
        db.execute("SELECT 1")
    except db.UNREACHABLE:
        return False
    return True


def _renew() -> None:
    tally.add(Count.DATABASE_RETRIES)
    db.proxy.close()
    db.proxy.connect()
