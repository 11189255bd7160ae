"""The results of a batch: its items that have ended, as JSON Lines or CSV, read as they go out."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from flask import Response

from api.rendering import Renderer
from api.schemas.batches import BatchItemSchema, Format
from api.services import services
from shared.batches import items
from shared.pages import Row

ITEM = Renderer(BatchItemSchema, items.ITEMS)

_PIECE = 64 * 1024
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
    media_type = f"{_MEDIA_TYPES[format]}; charset=utf-8"
    response = Response(_joined(pieces), headers=headers, content_type=media_type)
    long_requests = services().long_requests
    long_requests.enter()
    response.call_on_close(long_requests.leave)
    return response


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """*lines*, some at a time: each piece must have been sent before its reader is given up."""
    piece: list[str] = []
    length = 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= _PIECE:
            yield "".join(piece)
            piece, length = [], 0
    yield "".join(piece)


def _jsonl(batch_id: UUID) -> Iterator[str]:
    for rows in items.ended(batch_id):
        yield from (f"{text}\n" for text in ITEM.texts(rows))


def _csv(batch_id: UUID) -> Iterator[str]:
    yield _line(_COLUMNS)
    for rows in items.ended(batch_id):
        yield from map(_line, map(_row, rows))


def _row(row: Row) -> list[object]:
    (text,) = ITEM.texts([row])
    item = json.loads(text)
    error = item["error"] or {}
    item |= {"errorCode": error.get("code"), "errorMessage": error.get("message")}
    item |= {name: _plain(item[name]) for name in ("costUsd", "computeUsd")}
    item["metadata"] = json.dumps(item["metadata"], ensure_ascii=False)
    return [item[name] for name in _COLUMNS]


def _plain(usd: float | None) -> str | None:
    """Digits without an exponent, of which spreadsheets make texts."""
    return None if usd is None else f"{Decimal(str(usd)):f}"


def _line(values: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(values)
    return written.getvalue()
