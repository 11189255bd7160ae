"""The results of a batch: its items that have ended, as JSON Lines or CSV, read as they go out."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from uuid import UUID

from flask import Response

from api.rendering import Renderer
from api.schemas.batches import BatchItemSchema, Format
from shared.batches import items
from shared.pages import Row

ITEM = Renderer(BatchItemSchema, items.ITEMS)


_MEDIA_TYPES = {Format.JSONL: "application/jsonl", Format.CSV: "text/csv"}
_COLUMNS = (
    *("index", "key", "status", "content", "errorCode", "errorMessage", "attempt", "costUsd"),
    *("computeUsd", "startedAt", "finishedAt", "runId", "message", "metadata"),
)


def stream(batch_id: UUID, format: Format) -> Response:
    """The response that is the results of the batch up to now, in the order of its items."""
    pieces = _jsonl(batch_id) if format is Format.JSONL else _csv(batch_id)
    name = f"batch-{batch_id}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(pieces, headers=headers, content_type=f"{_MEDIA_TYPES[format]}; charset=utf-8")


def _jsonl(batch_id: UUID) -> Iterator[str]:
    for rows in items.ended(batch_id):
        yield "".join(f"{text}\n" for text in ITEM.texts(rows))


def _csv(batch_id: UUID) -> Iterator[str]:
    yield _rows([_COLUMNS])
    for rows in items.ended(batch_id):
        yield _rows(map(_row, rows))


def _row(row: Row) -> list[object]:
    (text,) = ITEM.texts([row])
    item = json.loads(text)
    error = item["error"] or {}
    item |= {"errorCode": error.get("code"), "errorMessage": error.get("message")}
    item["metadata"] = json.dumps(item["metadata"], ensure_ascii=False)
    return [item[name] for name in _COLUMNS]


def _rows(rows: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
