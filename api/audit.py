"""/audit: who did what."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from flask.views import MethodView

from api.blueprint import Blueprint
from api.rendering import Renderer
from api.schemas.audit import AuditEventSchema, AuditQuerySchema
from api.schemas.pages import page_of
from shared import audit
from shared.pages import Paging
from shared.states import Role

blp = Blueprint("audit", reads=Role.ADMIN, writes=Role.ADMIN, says="Who did what.")
EVENT = Renderer(AuditEventSchema, audit.EVENTS)


@blp.route("")
class AuditEvents(MethodView):
    """All that was done."""

    @blp.query(AuditQuerySchema)
    @blp.answers(200, page_of(AuditEventSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List what was done

        The latest first.
        """
        return EVENT.page(audit.page(filters, paging))
