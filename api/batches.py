"""/schedules/batches: many messages for one agent, submitted together."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from flask import Response, request
from flask.views import MethodView

from api import access, examples, live, live_batches, reading, results, submitting, uploads, work
from api.blueprint import Blueprint
from api.rendering import answer
from api.results import ITEM
from api.schemas.batches import (
    BatchItemSchema,
    BatchQuerySchema,
    BatchSchema,
    EstimatedSchema,
    ItemQuerySchema,
    ResultQuerySchema,
)
from api.schemas.orders import NewBatchSchema, ResumedSchema, UploadFormSchema
from api.schemas.pages import page_of
from shared import agents, audit, db
from shared.batches import items, moves, view
from shared.batches.submission import Item
from shared.errors import Conflict
from shared.pages import Paging
from shared.states import BatchReason

blp = Blueprint("batches", says="Many messages for one agent, submitted together.")
_NEW = NewBatchSchema()


@blp.route("")
class Batches(MethodView):
    """All batches."""

    @blp.query(BatchQuerySchema)
    @blp.answers(200, page_of(BatchSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List batches

        The newest first, unless `sort` says otherwise.
        """
        page, shown = view.page(filters, paging, now=work.now())
        return answer(
            {
                "content": shown,
                "number": page.number,
                "size": page.size,
                "totalElements": page.total,
                "totalPages": page.pages,
            }
        )

    @blp.form(UploadFormSchema)
    @blp.body(NewBatchSchema, example=examples.NEW_BATCH, handed=False)
    @blp.answers(202, BatchSchema, example=examples.BATCH)
    @blp.answers(200, EstimatedSchema)
    def post(self) -> Response:
        """Submit a batch

        With its items as JSON, or, for many, as an upload whose last field `items` is a CSV or
        JSON Lines file. Either all of them are taken or none. The answer has the estimate of what
        it will cost; with `dryRun` it is all that there is. With an `Idempotency-Key`, asking twice
        makes one batch.
        """
        if request.mimetype == uploads.MEDIA_TYPE:
            return submitting.upload()
        fields = reading.body(_NEW)
        items = [
            Item(each.get("key"), each["message"], each["metadata"]) for each in fields.pop("items")
        ]
        return submitting.submit(fields, items, reading.idempotency_key)


@blp.route("/<uuid:batch_id>")
class Batch(MethodView):
    """One batch."""

    @blp.answers(200, BatchSchema, example=examples.BATCH)
    def get(self, batch_id: UUID) -> Response:
        """Get a batch"""
        return answer(view.get(batch_id, now=work.now()))


@blp.route("/<uuid:batch_id>/items")
class Items(MethodView):
    """The items of a batch."""

    @blp.query(ItemQuerySchema)
    @blp.answers(200, page_of(BatchItemSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging, batch_id: UUID) -> Response:
        """List the items of a batch

        In the order in which they were submitted.
        """
        moves.get(batch_id)
        return ITEM.page(items.page(batch_id, filters.get("status"), paging))


@blp.route("/<uuid:batch_id>/results")
class Results(MethodView):
    """The items of a batch that have ended."""

    @blp.query(ResultQuerySchema)
    @blp.streams("application/jsonl", "text/csv")
    def get(self, filters: Mapping[str, Any], _: Paging, batch_id: UUID) -> Response:
        """Download the results of a batch

        One line for each item that has ended, in the order in which they were submitted: JSON
        Lines, or CSV with `format=csv`. It can be read before the batch has ended. Texts are as
        the agent wrote them: a spreadsheet takes one that begins with `=` for a formula, unless
        it is told to import text.
        """
        moves.get(batch_id)
        return results.stream(batch_id, filters["format"])


@blp.route("/<uuid:batch_id>/events")
class Events(MethodView):
    """A batch as it goes."""

    @blp.streams(live.MEDIA_TYPE)
    @blp.answers(204)
    @blp.header("Last-Event-ID", "The last event that was heard.", example=live.ENDED)
    def get(self, batch_id: UUID) -> Response:
        """Watch a batch

        As server-sent events: `progress` with the batch whenever something has changed, and `ended`
        when it has. Each has all there is to know, so nothing is lost by coming back later; who
        has heard the last one is answered with 204.
        """
        return live_batches.response(view.get(batch_id, now=work.now()))


@blp.route("/<uuid:batch_id>/cancel")
class CancelBatch(MethodView):
    """The end of a batch that is no longer wanted."""

    @blp.answers(200, BatchSchema, example=examples.BATCH)
    def post(self, batch_id: UUID) -> Response:
        """Cancel a batch

        Nothing more of it starts, and what runs is stopped within seconds; then it is `CANCELLED`.
        """
        return _moved("cancel", batch_id, _cancel)


@blp.route("/<uuid:batch_id>/pause")
class PauseBatch(MethodView):
    """A pause of a batch."""

    @blp.answers(200, BatchSchema, example=examples.BATCH)
    def post(self, batch_id: UUID) -> Response:
        """Pause a batch

        Nothing more of it starts; what runs may finish.
        """
        return _moved("pause", batch_id, _pause)


@blp.route("/<uuid:batch_id>/resume")
class ResumeBatch(MethodView):
    """The end of a pause."""

    @blp.body(ResumedSchema, optional=True, example={"budgetUsd": 50})
    @blp.answers(200, BatchSchema, example=examples.BATCH)
    def post(self, how: dict[str, Any], batch_id: UUID) -> Response:
        """Resume a batch that pauses

        One that has spent its budget needs a larger one.
        """

        def resume(batch_id: UUID) -> bool:
            moves.resume(batch_id, budget_usd=how["budget_usd"], now=work.now())
            return True

        return _moved("resume", batch_id, resume, {"budgetUsd": (None, how["budget_usd"])})


@blp.route("/<uuid:batch_id>/retry-failed")
class RetryFailed(MethodView):
    """A second chance for what failed."""

    @blp.answers(202, BatchSchema, example=examples.BATCH)
    def post(self, batch_id: UUID) -> Response:
        """Run the failed items of a batch again

        As a new batch, with the orders of the one that has ended; its budget and deadline do not
        go with them, nor an agent to notify that was deleted.
        """
        batch = moves.get(batch_id)
        if batch.finished_at is None:
            raise Conflict(f"Batch {batch_id} has not ended yet; what failed is run again then.")
        if next(items.failed(batch_id), None) is None:
            raise Conflict(f"Of batch {batch_id} no item failed, or it was pruned since.")
        orders = {
            name: getattr(batch, name)
            for name in (
                *("name", "agent_id", "timeout_seconds", "max_attempts", "priority"),
                *("retry_backoff_seconds", "max_concurrency", "notify_agent_id"),
                *("approval_policy", "approval_wait_seconds"),
            )
        }
        fields = {**orders, "compute": batch.compute_id, "retry_of": batch_id, "dry_run": False}
        if batch.notify_agent_id is not None and not agents.exists(batch.notify_agent_id):
            fields["notify_agent_id"] = None
        again = items.failed(batch_id)
        return submitting.submit(fields, again, reading.idempotency_key)


def _cancel(batch_id: UUID) -> bool:
    return moves.end(batch_id, BatchReason.CANCELLED_BY_REQUEST, now=work.now())


def _pause(batch_id: UUID) -> bool:
    moves.pause(batch_id, BatchReason.PAUSED_BY_REQUEST, now=work.now())
    return True


def _moved(
    action: str,
    batch_id: UUID,
    move: Callable[[UUID], bool],
    changes: audit.Changes | None = None,
) -> Response:
    """Do *move*, have *action* on record if that changed anything, and answer with the batch."""
    now, resource = work.now(), ("batch", batch_id)
    with db.transaction():
        if move(batch_id):
            audit.record(access.principal(), f"batch.{action}", resource, changes, now=now)
        shown = view.get(batch_id, now=now)
    return answer(shown)
