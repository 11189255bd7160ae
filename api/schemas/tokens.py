"""Tokens."""

from marshmallow import fields

from api.schemas.pages import ListQuerySchema, sorted_by
from shared.fields import CamelSchema, choice, described, instant, text, uuid
from shared.states import Role
from shared.tokens import TOKENS


class NewTokenSchema(CamelSchema):
    """A token to be made."""

    name = text(200, "Whose or what for it is.", "Grafana", required=True)
    role = choice(Role, "What it may do.", required=True)
    expires_at = instant("When it ceases to be accepted.", load_default=None, allow_none=True)


class TokenSchema(CamelSchema):
    """A token, as far as it is kept."""

    id = uuid("Its id.")
    name = fields.String(metadata=described("Whose or what for it is."))
    role = choice(Role, "What it may do.")
    prefix = fields.String(metadata=described("How it begins.", "am_1234567"))
    created_at = instant("When it was made.")
    expires_at = instant("When it ceases to be accepted.", allow_none=True)
    revoked_at = instant("When it was revoked.", allow_none=True)


class MadeTokenSchema(TokenSchema):
    """A token that was just made."""

    token = fields.String(metadata=described("The token. It is never shown again."))


class TokenQuerySchema(ListQuerySchema):
    """Which tokens."""

    listing = TOKENS

    sort = sorted_by(TOKENS)
