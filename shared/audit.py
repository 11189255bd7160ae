"""Who did what: recorded in the transaction that does it, and only ever appended to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared import listing
from shared.ids import uuid7
from shared.listing import Listing
from shared.models import AuditEvent
from shared.pages import Page, Paging
from shared.placeholders import PLACEHOLDER
from shared.wire import camel

# What a record shows of a long text.
SHOWN = 200
_HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"secret|token|passw|auth|credential|cookie|api.?key", re.IGNORECASE)

# A changed field → what it was and what it is.
Changes = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Actor:
    """Who acts: a token and its name, or something without a token."""

    name: str
    token_id: UUID | None = None


EVENTS = Listing(
    table="audit_event e",
    key="e.id",
    columns=listing.read(
        AuditEvent,
        "e",
        *("id", "at", "actor", "token_id", "action", "resource_type", "resource_id", "changes"),
    ),
    filters={
        "actor": "e.actor = :actor",
        "action": "e.action = :action",
        "resource_type": "e.resource_type = :resource_type",
        "resource_id": "e.resource_id = :resource_id",
        "since": "e.at >= :since",
        "until": "e.at < :until",
    },
    orders={"at": "e.at"},
)


def record(
    actor: Actor,
    action: str,
    resource: tuple[str, object],
    changes: Changes | None = None,
    *,
    now: datetime,
) -> None:
    """Record that *actor* did *action* (`schedule.create`) to *resource*, its type and id.

    To be called in the transaction of the change. Long texts are shortened, and what looks like a
    secret is hidden.
    """
    kind, id = resource
    AuditEvent.insert(
        id=uuid7(now),
        at=now,
        actor=actor.name,
        token_id=actor.token_id,
        action=action,
        resource_type=kind,
        resource_id=str(id),
        changes={
            name: {"from": _shown(old, name), "to": _shown(new, name)}
            for name, (old, new) in (changes or {}).items()
        },
    ).execute()


def made(fields: Mapping[str, Any]) -> Changes:
    """The changes of something that was made with *fields*."""
    return {camel(name): (None, value) for name, value in fields.items()}


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """What was done, the latest first."""
    return EVENTS.page(filters, paging)


def _shown(value: Any, name: str = "") -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case dict():
            return {key: _shown(each, key) for key, each in value.items()}
        case list():
            return [_shown(each, name) for each in value]
        case datetime():
            return value.isoformat()
        case Decimal():
            return float(value)
    shown = str(value)
    if _SECRET_NAME.search(name) and not PLACEHOLDER.search(shown):
        return _HIDDEN
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}… ({len(shown):,} characters)"
