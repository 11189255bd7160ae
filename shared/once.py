"""Doing something once for an idempotency key."""

from shared import db
from shared.idempotency import IdempotencyKey


def hold(key: IdempotencyKey) -> None:
    """Have whoever else uses *key* wait until this transaction ends.

    So what was made with it can be looked for before it is made. SQLite's writing transactions
    wait for each other anyway.
    """
    if not db.is_sqlite():
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))", {"key": key.key})
