"""The making of a run on request: once for a key, on record, and on its way at once."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from api import access, reading, work
from api.services import services
from shared import audit, db, history, once
from shared.idempotency import IdempotencyKey


class Make(Protocol):
    """Makes a run, and gives its id; the same key gives the same run."""

    def __call__(self, *, key: IdempotencyKey | None, now: datetime) -> UUID: ...


def run(make: Make, action: str, resource: tuple[str, object]) -> UUID:
    """Make a run, record that *action* made it, and send it to a worker; its id.

    A repeated request is answered as the first was, and leaves no second record.
    """
    now, key = work.now(), reading.idempotency_key()
    with db.transaction():
        made = None
        if key is not None:
            once.hold(key)
            made = history.made_with(key.key)
        run_id = make(key=key, now=now)
        if made is None:
            changes = {"runId": (None, str(run_id))}
            audit.record(access.principal(), action, resource, changes, now=now)
    if made is None:
        services().dispatch(run_id)
    return run_id
