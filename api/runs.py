"""/runs: what ran, runs, and is to run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, examples, making, work
from api.blueprint import Blueprint
from api.rendering import Renderer, answer
from api.schemas.pages import page_of
from api.schemas.runs import (
    EventQuerySchema,
    EventSchema,
    QueuedSchema,
    RunQuerySchema,
    RunSchema,
)
from api.services import services
from shared import audit, db, history, new_runs, runs
from shared.new_runs import Made
from shared.pages import Paging

blp = Blueprint("runs", says="What ran, runs, and is to run.")
RUN = Renderer(RunSchema, history.RUNS)
EVENT = Renderer(EventSchema, history.EVENTS)


@blp.route("")
class Runs(MethodView):
    """All runs."""

    @blp.query(RunQuerySchema)
    @blp.answers(200, page_of(RunSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List runs

        The newest first, unless `sort` says otherwise.
        """
        return RUN.page(history.page(filters, paging))


@blp.route("/<uuid:run_id>")
class Run(MethodView):
    """One run."""

    @blp.answers(200, RunSchema, example=examples.RUN)
    def get(self, run_id: UUID) -> Response:
        """Get a run"""
        return RUN.one(history.get(run_id))


@blp.route("/<uuid:run_id>/events")
class RunEvents(MethodView):
    """What happened in a run."""

    @blp.query(EventQuerySchema)
    @blp.answers(200, page_of(EventSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging, run_id: UUID) -> Response:
        """List what happened in a run

        In the order in which it happened.
        """
        return EVENT.page(history.events(run_id, paging))


@blp.route("/<uuid:run_id>/cancel")
class CancelRun(MethodView):
    """The end of a run that is no longer wanted."""

    @blp.answers(200, RunSchema, example=examples.RUN)
    def post(self, run_id: UUID) -> Response:
        """Cancel a run

        One that is running is stopped within seconds; until then it has `cancelRequestedAt`.
        """
        now = work.now()
        with db.transaction():
            runs.cancel(run_id, now=now)
            audit.record(access.principal(), "run.cancel", ("run", run_id), now=now)
            row = history.get(run_id)
        return RUN.one(row)


@blp.route("/<uuid:run_id>/continue")
class ContinueRun(MethodView):
    """The going on of a run that is paused."""

    @blp.answers(200, RunSchema, example=examples.RUN)
    def post(self, run_id: UUID) -> Response:
        """Continue a paused run

        One that waits for money goes on although its budget has no room, and is counted there.
        """
        now = work.now()
        with db.transaction():
            runs.resume(run_id, now=now)
            audit.record(access.principal(), "run.continue", ("run", run_id), now=now)
            row = history.get(run_id)
        services().dispatch(run_id)
        return RUN.one(row)


@blp.route("/<uuid:run_id>/retry")
class RetryRun(MethodView):
    """A run's second chance."""

    @blp.answers(202, QueuedSchema, example=examples.QUEUED)
    def post(self, run_id: UUID) -> Response:
        """Run it again

        Makes a new run with the orders of one that has ended. Where a budget has no room for it,
        the answer is 409, or a run that is `PAUSED`, as that budget says.
        """

        def make(**how: Any) -> Made:
            return new_runs.retry(run_id, **how)

        return queued(making.run(make, "run.retry", ("run", run_id)))


def queued(made: Made) -> Response:
    """The answer that a run was made."""
    body = {"runId": str(made.id), "status": made.status.value}
    return answer(body, 202, {"Location": f"/api/v1/runs/{made.id}"})
