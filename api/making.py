"""The making of a run on request: once for a key, on record, and on its way at once."""

from datetime import datetime
from typing import Protocol

from api import access, reading, work
from api.services import services
from shared import audit, db, history, once
from shared.idempotency import IdempotencyKey
from shared.new_runs import Made
from shared.states import QUEUED


class Make(Protocol):
    """Makes a run; the same key gives the same run."""

    def __call__(self, *, key: IdempotencyKey | None, now: datetime) -> Made: ...


def run(make: Make, action: str, resource: tuple[str, object]) -> Made:
    """Make a run, record that *action* made it, and send it to a worker.

    A repeated request is answered as the first was, and leaves no second record.
    """
    now, key = work.now(), reading.idempotency_key()
    with db.transaction():
        before = None
        if key is not None:
            once.hold(key)
            before = history.made_with(key.key)
        made = make(key=key, now=now)
        if before is None:
            changes = {"runId": (None, str(made.id))}
            audit.record(access.principal(), action, resource, changes, now=now)
    if before is None and made.status is QUEUED:
        services().dispatch(made.id)
    return made
