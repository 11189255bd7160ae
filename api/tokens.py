"""/tokens: who may do what."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, work
from api.blueprint import Blueprint
from api.rendering import Renderer, answer
from api.schemas.pages import page_of
from api.schemas.tokens import MadeTokenSchema, NewTokenSchema, TokenQuerySchema, TokenSchema
from shared import audit, db, tokens
from shared.pages import Paging
from shared.states import Role

blp = Blueprint("tokens", reads=Role.ADMIN, writes=Role.ADMIN, says="Who may do what.")
TOKEN = Renderer(TokenSchema, tokens.TOKENS)


@blp.route("")
class Tokens(MethodView):
    """All tokens."""

    @blp.query(TokenQuerySchema)
    @blp.answers(200, page_of(TokenSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List tokens

        Those that were revoked included.
        """
        return TOKEN.page(tokens.page(filters, paging))

    @blp.body(NewTokenSchema, example={"name": "Grafana", "role": "viewer"})
    @blp.answers(201, MadeTokenSchema)
    def post(self, fields: dict[str, Any]) -> Response:
        """Make a token

        The answer is the only place where it is ever shown.
        """
        now = work.now()
        with db.transaction():
            token_id, token = tokens.create(**fields, now=now)
            audit.record(
                access.principal(),
                "token.create",
                ("token", token_id),
                audit.made(fields),
                now=now,
            )
            row = tokens.get(token_id)
        body = {**json.loads(TOKEN.texts([row])[0]), "token": token}
        return answer(body, 201, {"Location": f"/api/v1/tokens/{token_id}"})


@blp.route("/<uuid:token_id>")
class Token(MethodView):
    """One token."""

    @blp.answers(200, TokenSchema)
    def get(self, token_id: UUID) -> Response:
        """Get a token"""
        return TOKEN.one(tokens.get(token_id))

    @blp.answers(204)
    def delete(self, token_id: UUID) -> Response:
        """Revoke a token

        It is refused within a second.
        """
        now = work.now()
        with db.transaction():
            tokens.revoke(token_id, now=now)
            audit.record(access.principal(), "token.revoke", ("token", token_id), now=now)
        return Response(status=204)
