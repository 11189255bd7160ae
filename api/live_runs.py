"""Runs as they go: the events of one, those on record and those that come, and its status."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

from flask import Response

from api import live
from api.live import ENDED, Watcher
from api.rendering import Renderer, encode
from api.schemas.runs import EventSchema, RunSchema
from api.services import services
from shared import db, history
from shared.history import RunProgress
from shared.log import Trouble
from shared.pages import Row

RUN = Renderer(RunSchema, history.RUNS)
EVENT = Renderer(EventSchema, history.EVENTS)

STATUS = "status"
#: What an event is called whose type cannot be its name.
OTHER = "other"

_SEQ, _TYPE = (list(history.EVENTS.columns).index(name) for name in ("seq", "type"))
_MOST_DIGITS = 9


def response(run_id: UUID) -> Response:
    """The response that tells what happens in the run, until it has ended and that was heard.

    Raises `NotFound`.
    """
    progress, heard = history.progress(run_id), live.last_heard() or ""
    if progress.ended and heard == ENDED:
        return Response(status=204)
    ours = heard.isascii() and heard.isdigit() and len(heard) <= _MOST_DIGITS
    texts = partial(_texts, run_id, int(heard) if ours else 0, services().database_trouble)
    return services().live_runs.response(run_id, progress, texts)


def _texts(
    run_id: UUID, after: int, trouble: Trouble, watcher: Watcher[RunProgress]
) -> Iterator[str]:
    """What there is to tell *watcher*, who has heard of all up to the event *after*."""
    progress, told = watcher.latest, None
    while progress is not None:
        standing = {"status": progress.status, "attempt": progress.attempt}
        if standing != told and not progress.ended:
            yield live.event(STATUS, encode(standing))
            told = standing
        try:
            rows, run = _read(run_id, after, progress)
        except db.UNREACHABLE as error:
            trouble.begins(error)
            # There is no other look before the database is back.
            progress = yield from watcher.hear_again()
            continue
        for row, text in zip(rows, EVENT.texts(rows), strict=True):
            yield live.event(_name(row[_TYPE]), text, id=str(row[_SEQ]))
            after = row[_SEQ]
        if run is not None:
            yield live.event(ENDED, *RUN.texts([run]), id=ENDED)
            return
        # Who is behind goes on at once.
        progress = watcher.latest if rows else (yield from watcher.hear(progress))


def _read(run_id: UUID, after: int, progress: RunProgress) -> tuple[list[Row], Row | None]:
    """The next events, some at a time; once there are no more of a run that has ended, the run."""
    with db.connection():
        rows = history.events_after(run_id, after) if after < progress.last_seq else []
        return rows, history.RUNS.get(run_id) if progress.ended and not rows else None


def _name(type: str) -> str:
    """What an event of *type* is called. Agents choose types, and shall break no line by it."""
    fit = type and type.isprintable() and type not in {STATUS, ENDED}
    return type if fit else OTHER
