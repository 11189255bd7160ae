"""Who may do what: bearer tokens and their roles."""

from typing import cast

from flask import g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from api.services import services
from shared import clock
from shared.states import Role
from shared.tokens import Principal


def bearer() -> str:
    """The token that came with the request. Raises `Unauthorized`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("Send a token, as Authorization: Bearer …")
    return token


def admit(token: str, role: Role) -> None:
    """Let pass whose token it is, if that may do what *role* may."""
    principal = services().doorkeeper.authenticate(token, now=clock.now())
    if principal is None:
        raise _unauthorized("This token is unknown, revoked or expired.")
    g.principal = principal
    demand(role)


def demand(role: Role) -> None:
    """Raise `Forbidden` unless the request comes from one who may do what *role* may."""
    if not principal().role.includes(role):
        raise Forbidden(f"This takes the role {role}; the token has the role {principal().role}.")


def principal() -> Principal:
    """Who has been let pass."""
    return cast(Principal, g.principal)


def _unauthorized(says: str) -> Unauthorized:
    return Unauthorized(says, www_authenticate=WWWAuthenticate("bearer", {"realm": "api"}))
