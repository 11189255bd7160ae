"""/costs: what runs have used up."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response
from flask.views import MethodView

from api import examples, work
from api.blueprint import Blueprint
from api.rendering import answer
from api.schemas.costs import CostQuerySchema, CostsSchema
from shared import costs, db
from shared.costs import GroupBy, Sums
from shared.fields import written
from shared.pages import Paging, Row
from shared.time_range import TimeRange

blp = Blueprint("costs", says="What runs have used up: tokens, and money.")


@blp.route("")
class Costs(MethodView):
    """What runs have used up."""

    @blp.query(CostQuerySchema)
    @blp.answers(200, CostsSchema, example=examples.COSTS)
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """Add up what runs have used up

        By schedule, agent or model, the most costly first, or by day. A run counts when it ends,
        and as long as it is kept. A sum is of what is known: where nothing is, it is null.
        """
        wanted = dict(filters)
        group_by, timezone = wanted.pop("group_by"), wanted.pop("timezone")
        time_range = TimeRange.of(
            wanted.pop("since"), wanted.pop("until"), timezone, now=work.now()
        )
        total, page = costs.page(group_by, time_range, wanted, paging)
        return answer(
            {
                "from": written(time_range.since),
                "to": written(time_range.until),
                "groupBy": group_by.value,
                "timezone": timezone,
                "total": _shown(total),
                "content": [{**_KEYS[group_by](row), **_shown(row[-1])} for row in page.rows],
                "number": page.number,
                "size": page.size,
                "totalElements": page.total,
                "totalPages": page.pages,
            }
        )


_KEYS: dict[GroupBy, Callable[[Row], dict[str, Any]]] = {
    GroupBy.SCHEDULE: lambda row: {
        "scheduleId": row[0] and str(db.uuid(row[0])),
        "name": row[1],
    },
    GroupBy.AGENT: lambda row: {"agentId": row[0]},
    GroupBy.MODEL: lambda row: {"model": row[0]},
    GroupBy.DAY: lambda row: {"day": row[0]},
}


def _shown(sums: Sums) -> dict[str, Any]:
    return {
        "runs": sums.runs,
        "inputTokens": sums.input_tokens,
        "outputTokens": sums.output_tokens,
        "totalTokens": sums.total_tokens,
        "costUsd": None if sums.cost_usd is None else float(sums.cost_usd),
        "unpricedRuns": sums.unpriced_runs,
        "computeUsd": None if sums.compute_usd is None else float(sums.compute_usd),
    }
