"""/sessions: what agents remember of earlier runs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, work
from api.blueprint import Blueprint
from api.rendering import Renderer, answer
from api.schemas.pages import page_of
from api.schemas.sessions import MessagesSchema, SessionQuerySchema, SessionSchema
from shared import audit, db, sessions
from shared.pages import Paging

blp = Blueprint("sessions", says="What agents remember of earlier runs.")
SESSION = Renderer(SessionSchema, sessions.SESSIONS)


@blp.route("")
class Sessions(MethodView):
    """All sessions."""

    @blp.query(SessionQuerySchema)
    @blp.answers(200, page_of(SessionSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List sessions

        The newest first, unless `sort` says otherwise.
        """
        return SESSION.page(sessions.page(filters, paging))


@blp.route("/<uuid:session_id>")
class Session(MethodView):
    """One session."""

    @blp.answers(200, SessionSchema)
    def get(self, session_id: UUID) -> Response:
        """Get a session"""
        return SESSION.one(sessions.get(session_id))

    @blp.answers(204)
    def delete(self, session_id: UUID) -> Response:
        """Forget a session

        Its runs stay; its next run begins anew.
        """
        with db.transaction():
            sessions.delete(session_id)
            audit.record(
                access.principal(), "session.delete", ("session", session_id), now=work.now()
            )
        return Response(status=204)


@blp.route("/<uuid:session_id>/messages")
class Messages(MethodView):
    """What was said in a session."""

    @blp.answers(200, MessagesSchema)
    def get(self, session_id: UUID) -> Response:
        """Read what was said in a session

        The latest runs of it, as many as there is room for.
        """
        return answer({"messages": sessions.messages(session_id)})
