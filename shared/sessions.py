"""Sessions, as people look at them: listed, read and deleted."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared import conversations, listing
from shared.errors import Conflict, NotFound
from shared.listing import Listing
from shared.models import Session
from shared.pages import Page, Paging, Row

SESSIONS = Listing(
    table="session n",
    key="n.id",
    columns={
        **listing.read(Session, "n", "id", "agent_id", "schedule_id", "turns", "size"),
        **listing.read(Session, "n", "created_at", "updated_at"),
    },
    filters={
        "agent_id": "n.agent_id = :agent_id",
        "schedule_id": "n.schedule_id = :schedule_id",
    },
    orders={"createdAt": "n.created_at", "updatedAt": "n.updated_at", "size": "n.size"},
)


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The sessions that pass *filters*, the latest first."""
    return SESSIONS.page(filters, paging)


def get(session_id: UUID) -> Row:
    """The row of the session. Raises `NotFound`."""
    row = SESSIONS.get(session_id)
    if row is None:
        raise NotFound("session", session_id)
    return row


def messages(session_id: UUID) -> list[Any]:
    """What was said in it, as its kind keeps that: a list, or else one text.

    Raises `NotFound`, or `Conflict` if it cannot be read.
    """
    session: Session | None = Session.get_or_none(Session.id == session_id)
    if session is None:
        raise NotFound("session", session_id)
    try:
        history = conversations.unpacked(session.history)
    except conversations.UNREADABLE:
        says = f"What session {session_id} remembers cannot be read; delete it, to begin anew."
        raise Conflict(says) from None
    try:
        said = json.loads(history)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, list) else [{"text": history}]


def delete(session_id: UUID) -> None:
    """Forget what was said in it: its next run begins anew. Raises `NotFound`."""
    if not Session.delete().where(Session.id == session_id).execute():
        raise NotFound("session", session_id)
