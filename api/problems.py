"""Problem details (RFC 9457), and the one translation of our errors into them."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from peewee import ProgrammingError
from playhouse.pool import MaxConnectionsExceeded
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as NotFoundHere

from api.services import services
from shared import db, surroundings
from shared.errors import AgentManagerError, Conflict, CronError, Invalid, NotFound, VersionMismatch
from shared.findings import FAIL

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# How SQLite and PostgreSQL say that their disk is full.
_NO_ROOM = ("disk is full", "No space left on device")
# How long a client should wait for a database that is away.
_RETRY_AFTER_SECONDS = "5"

_STATUS: Mapping[type[AgentManagerError], int] = {
    NotFound: 404,
    Conflict: 409,
    VersionMismatch: 412,
    Invalid: 422,
    CronError: 422,
}


class Unreadable(HTTPException):
    """The body is not the JSON that we read."""

    code = 400


class UnsupportedMediaType(HTTPException):
    """The body is not said to be JSON."""

    code = 415


def problem(
    status: int,
    detail: str,
    *,
    errors: Mapping[str, Sequence[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response that says what is wrong: *errors* maps fields to sentences."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(json.dumps(body) + "\n", status, headers, content_type=MEDIA_TYPE)


def register(app: Flask) -> None:
    """Have *app* answer every error with a problem."""
    app.register_error_handler(AgentManagerError, _ours)
    app.register_error_handler(HTTPException, _http)
    for error in (*db.UNREACHABLE, MaxConnectionsExceeded):
        app.register_error_handler(error, _unreachable)
    app.register_error_handler(ProgrammingError, _misunderstood)
    app.register_error_handler(ParseException, _garbled)
    app.register_error_handler(Exception, _unexpected)


def _ours(error: AgentManagerError) -> Response:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    if isinstance(error, Invalid):
        return problem(status, "Some values are wrong.", errors=error.fields)
    return problem(status, str(error))


def _http(error: HTTPException) -> Response:
    says = error.description or ""
    if type(error) is NotFoundHere:
        says = f"There is nothing at {request.path[:200]}; /api/v1/docs shows what there is."
    if type(error) is RequestEntityTooLarge:
        says = f"The request is too large; {request.max_content_length:,} bytes are the limit."
    response = problem(error.code or 500, says)
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _unreachable(error: Exception) -> Response:
    if str(error).startswith("no such "):  # SQLite's words for a table or a column.
        return _misunderstood(error)
    services().database_trouble.begins(error)
    if any(words in str(error) for words in _NO_ROOM):
        return _later("The disk of the database is full; make room there, and try again.")
    return _later("The database is away; try again.")


def _misunderstood(error: Exception) -> Response:
    """The database and this release are of different minds about the tables, or it is our fault."""
    finding = surroundings.migrated()
    if finding.status is not FAIL:
        return _unexpected(error)
    services().database_trouble.begins(error)
    return _later(f"{finding.says} {finding.cure}")


def _later(says: str) -> Response:
    return problem(503, says, headers={"Retry-After": _RETRY_AFTER_SECONDS})


def _garbled(error: Exception) -> Response:
    """What gunicorn says of a body in chunks that are badly put, once somebody reads it."""
    return problem(400, "The body is not in chunks as HTTP has them, or it broke off.")


def _unexpected(error: Exception) -> Response:
    logger.error("a request failed unexpectedly", exc_info=error)
    return problem(500, "This is our fault, and the log says more.")
