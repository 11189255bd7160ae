"""/runs: what ran, runs, and is to run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, request
from flask.views import MethodView

from api import access, examples, live, live_runs, making, work
from api.blueprint import Blueprint
from api.live_runs import EVENT, RUN
from api.rendering import answer
from api.schemas.pages import page_of
from api.schemas.runs import (
    AnswersSchema,
    EventQuerySchema,
    EventSchema,
    QueuedSchema,
    RunQuerySchema,
    RunSchema,
)
from api.services import services
from shared import approvals, audit, db, history, new_runs, runs
from shared.new_runs import Made
from shared.pages import Paging

blp = Blueprint("runs", says="What ran, runs, and is to run.")
_JSON = "application/json"


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
    @blp.streams(live.MEDIA_TYPE)
    @blp.answers(204)
    @blp.header("Last-Event-ID", "The last event that was heard.", example="7")
    def get(self, filters: Mapping[str, Any], paging: Paging, run_id: UUID) -> Response:
        """List or watch what happens in a run

        In the order in which it happened. Who accepts `text/event-stream` is told all of it as
        server-sent events, and then whatever comes. Each is named by its `type` (`other`, where
        that cannot be a name) and has its `seq` as its id: who comes again with that goes on after
        it. `status`, which has no id, says at first and whenever it changes which `status` the
        run has, and at which `attempt` it is. When it has ended, `ended` comes last, with the
        run; who has heard that one is answered with 204.
        """
        if request.accept_mimetypes.best_match([_JSON, live.MEDIA_TYPE]) == live.MEDIA_TYPE:
            return live_runs.response(run_id)
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

    @blp.body(AnswersSchema, optional=True, example={"approved": True})
    @blp.answers(200, RunSchema, example=examples.RUN)
    def post(self, given: dict[str, Any], run_id: UUID) -> Response:
        """Continue a paused run

        Says what is to become of each call that its agent asks for in `asks`: approved or not, or
        what the answer to its `question` is. It goes on, on any worker, from where it was. One that
        waits for money is continued without a body; it goes on although its budget has no room, and
        is counted there.
        """
        now = work.now()
        with db.transaction():
            approvals.answer(run_id, given, now=now)
            changes = {name: (None, each) for name, each in given.items() if each != []}
            audit.record(access.principal(), "run.continue", ("run", run_id), changes, now=now)
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
