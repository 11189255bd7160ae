"""/schedules/batches: many messages for one agent. There are none yet."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema

from api.blueprint import Blueprint
from api.rendering import answer
from api.schemas.pages import ListQuerySchema, page_of
from shared.pages import Paging

blp = Blueprint("batches", says="Many messages for one agent, submitted together.")


class BatchSchema(Schema):
    """Work submitted together."""


@blp.route("")
class Batches(MethodView):
    """All batches."""

    @blp.query(ListQuerySchema)
    @blp.answers(200, page_of(BatchSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List batches"""
        page = {"number": paging.number, "size": paging.size, "totalElements": 0, "totalPages": 0}
        return answer({"content": [], **page})
