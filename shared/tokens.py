"""Tokens: who may do what. Only a token's hash is kept, so nobody can read one back."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared import db, listing
from shared.audit import Actor
from shared.errors import Conflict, Invalid, NotFound
from shared.ids import uuid7
from shared.listing import Listing
from shared.models import ApiToken
from shared.pages import Page, Paging, Row
from shared.states import Role

PREFIX = "am_"
_SHOWN = 10
# A revocation takes effect within this time.
REMEMBERED = timedelta(seconds=1)
_MOST_REMEMBERED = 1024

TOKENS = Listing(
    table="api_token t",
    key="t.id",
    columns=listing.read(
        ApiToken, "t", "id", "name", "role", "prefix", "created_at", "expires_at", "revoked_at"
    ),
    orders={"name": "t.name", "createdAt": "t.created_at"},
)


@dataclass(frozen=True)
class Principal(Actor):
    """Somebody whose token was accepted."""

    role: Role = Role.VIEWER


def create(
    name: str, role: Role, *, expires_at: datetime | None = None, now: datetime
) -> tuple[UUID, str]:
    """Make a token; its id, and the token itself, which is never to be had again.

    Raises `Invalid` if it would have expired already.
    """
    if expires_at is not None and expires_at <= now:
        raise Invalid({"expiresAt": ["Must be in the future."]})
    token_id, token = uuid7(now), PREFIX + secrets.token_urlsafe(32)
    ApiToken.insert(
        id=token_id,
        name=name,
        role=role,
        prefix=token[:_SHOWN],
        token_hash=hash_of(token),
        created_at=now,
        expires_at=expires_at,
    ).execute()
    return token_id, token


def revoke(token_id: UUID, *, now: datetime) -> None:
    """Refuse the token from now on. Raises `NotFound`, or `Conflict` if it was revoked before."""
    revoked: int = (
        ApiToken.update(revoked_at=now)
        .where(ApiToken.id == token_id, ApiToken.revoked_at.is_null())
        .execute()
    )
    if not revoked:
        if not ApiToken.select().where(ApiToken.id == token_id).exists():
            raise NotFound("token", token_id)
        raise Conflict(f"Token {token_id} has been revoked already.")


def get(token_id: UUID) -> Row:
    """The row of the token. Raises `NotFound`."""
    row = TOKENS.get(token_id)
    if row is None:
        raise NotFound("token", token_id)
    return row


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The tokens that were ever made, the newest first."""
    return TOKENS.page(filters, paging)


def hash_of(token: str) -> str:
    """What is kept of a token. It has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Doorkeeper:
    """Knows whose token it is, and remembers it for a second.

    *admin_token* is accepted as an admin's, for access where nobody can read a terminal.
    """

    def __init__(self, admin_token: str = "") -> None:
        self._admin_hash = hash_of(admin_token) if admin_token else ""
        self._known: dict[str, tuple[Principal, datetime, datetime]] = {}

    def authenticate(self, token: str, *, now: datetime) -> Principal | None:
        """Whose token it is. None: nobody's, or no longer."""
        token_hash = hash_of(token)
        known = self._known.get(token_hash)
        if known is not None and known[1] <= now < known[2]:
            return known[0]
        if hmac.compare_digest(token_hash, self._admin_hash):
            return Principal("AGENT_MANAGER_ADMIN_TOKEN", None, Role.ADMIN)
        return self._look_up(token_hash, now)

    def _look_up(self, token_hash: str, now: datetime) -> Principal | None:
        with db.connection():
            token: ApiToken | None = ApiToken.get_or_none(
                ApiToken.token_hash == token_hash,
                ApiToken.revoked_at.is_null(),
                ApiToken.expires_at.is_null() | (ApiToken.expires_at > now),
            )
        if token is None:
            return None
        principal = Principal(token.name, token.id, token.role)
        until = now + REMEMBERED
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[token_hash] = principal, now, min(until, token.expires_at or until)
        return principal
