"""Batches as they go: all there is to know of one, whenever that has changed."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from flask import Response

from api import live
from api.live import ENDED, Watcher
from api.rendering import encode
from api.services import services
from shared import clock
from shared.batches import view

Batch = dict[str, Any]


def look(batch_ids: set[UUID]) -> Mapping[UUID, Batch]:
    """The batches of those ids as they are now."""
    return view.several(batch_ids, now=clock.now())


def response(batch: Batch) -> Response:
    """The response that tells how *batch* goes, until it has ended and that was heard."""
    if batch["finishedAt"] and live.last_heard() == ENDED:
        return Response(status=204)
    return services().live_batches.response(UUID(batch["id"]), batch, _texts)


def _texts(watcher: Watcher[Batch]) -> Iterator[str]:
    number, batch = 1, watcher.latest
    while batch is not None:
        if batch["finishedAt"]:
            yield live.event(ENDED, encode(batch), id=ENDED)
            return
        yield live.event("progress", encode(batch), id=str(number))
        number += 1
        batch = yield from watcher.hear(batch)
