"""The submitting of a batch: its items as a list, or as a file that is read as it comes in."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from flask import Response

from api import access, item_files, reading, uploads, work
from api.rendering import answer
from api.schemas.orders import UploadSchema
from api.services import services
from api.uploads import Upload
from shared import audit, compute, db
from shared.batches import submission, view
from shared.batches.submission import Item, Orders, Submission
from shared.errors import AgentManagerError, Invalid
from shared.idempotency import IdempotencyKey

logger = logging.getLogger(__name__)

_UPLOADED = UploadSchema()
_CSV, _JSONL = ("csv", "text/csv"), ("jsonl", "ndjson", "application/jsonl", "application/x-ndjson")


def upload() -> Response:
    """Take a batch whose items are in a file."""
    long_requests = services().long_requests
    long_requests.enter()
    try:
        work.release()
        return _received(uploads.receive("items", limit=services().settings.upload_limit))
    finally:
        long_requests.leave()


def _received(form: Upload) -> Response:
    settings = services().settings
    try:
        fields = reading.form(_UPLOADED, form.fields)
        items = item_files.items(
            form.pieces(),
            is_csv=_is_csv(form),
            template=fields.pop("template", None),
            delimiter=fields.pop("delimiter"),
            most=settings.batch_items,
        )
        return submit(fields, items, lambda: reading.idempotency_key(form.digest()))
    finally:
        form.drain()


def _is_csv(form: Upload) -> bool:
    ending = form.filename.rpartition(".")[2].lower()
    for hint in (ending, form.media_type):
        if hint in _CSV or hint in _JSONL:
            return hint in _CSV
    raise Invalid({"items": ["Name the file .csv or .jsonl, for that says what it is."]})


def submit(
    fields: dict[str, Any], items: Iterable[Item], key: Callable[[], IdempotencyKey | None]
) -> Response:
    """Make a batch of *items*, or say what it would come to.

    The *key* is known once all items have been read.
    """
    dry_run = fields.pop("dry_run")
    # One that is none should not cost its sender an upload.
    repeatable = reading.idempotency_key(b"") is not None and not dry_run
    try:
        submitted = submission.check(
            Orders(**fields), threads=services().settings.worker_threads, now=work.now()
        )
    except AgentManagerError:
        # What was made is answered as it was, whatever has changed since.
        made = _made_before(items, key) if repeatable else None
        if made is None:
            raise
        return _made(made)
    if dry_run:
        return answer(_estimated(submitted, items))
    try:
        submission.begin(submitted, now=work.now())
        submission.write(submitted, items, work.now)
        made = _accepted(submitted, key())
    except BaseException:
        _discard(submitted.id)
        raise
    if made != submitted.id:
        _discard(submitted.id)
    return _made(made)


def _made_before(items: Iterable[Item], key: Callable[[], IdempotencyKey | None]) -> UUID | None:
    """The batch that the same request has made before, which can be told once it is read whole."""
    deque(items, maxlen=0)
    given = key()
    with db.connection():
        return None if given is None else submission.made_with(given)


def _made(batch_id: UUID) -> Response:
    with db.connection():
        shown = view.get(batch_id, now=work.now())
    return answer(shown, 202, {"Location": f"/api/v1/schedules/batches/{batch_id}"})


def _accepted(submitted: Submission, key: IdempotencyKey | None) -> UUID:
    now = work.now()
    with db.transaction():
        made = submission.accept(submitted, key=key, now=now)
        if made == submitted.id:
            orders = {**vars(submitted.orders), "items": submitted.items}
            given = {name: value for name, value in orders.items() if value is not None}
            audit.record(
                access.principal(), "batch.create", ("batch", made), audit.made(given), now=now
            )
    return made


def _discard(batch_id: UUID) -> None:
    try:
        submission.discard(batch_id)
    except db.UNREACHABLE as error:
        logger.warning("batch %s left to a scheduler to discard: %s", batch_id, error)


def _estimated(submitted: Submission, items: Iterable[Item]) -> dict[str, Any]:
    remaining = iter(items)
    first = next(remaining)
    submitted.items = 1 + sum(1 for _ in remaining)
    estimate = submitted.estimate()
    return {
        "items": submitted.items,
        "firstMessage": first.message,
        "estimatedCost": {
            "lowUsd": estimate.range and round(estimate.range.low, 6),
            "highUsd": estimate.range and round(estimate.range.high, 6),
            "note": estimate.says,
            "measuredRuns": estimate.measured_runs,
        },
        "computeConfiguration": {**compute.configuration(submitted.profile), "ranOn": []},
    }
