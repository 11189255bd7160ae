"""Compute profiles: the machines that a batch may use, and what an hour on one costs.

A worker is started for a profile and consumes its queue, and nothing else.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from peewee import IntegrityError

from shared import db, listing
from shared.audit import Changes
from shared.batches.models import Batch, ComputeProfile
from shared.errors import Conflict, Invalid, NotFound, VersionMismatch
from shared.listing import Listing
from shared.messages import RUNS_QUEUE
from shared.pages import Page, Paging, Row
from shared.wire import camel

#: The profile that there is from the start.
LOCAL = "local"
EDITABLE = (
    *("description", "instance_type", "region", "vcpu", "memory_mb", "spot", "price_per_hour"),
    "max_workers",
)
DEFAULTS = {name: ComputeProfile._meta.columns[name].default for name in EDITABLE}

PROFILES = Listing(
    table="compute_profile p",
    key="p.id",
    columns=listing.read(
        *(ComputeProfile, "p", "id", "queue", *EDITABLE, "version", "created_at", "updated_at")
    ),
    where="p.deleted_at IS NULL",
    filters={"spot": "p.spot = :spot"},
    orders={"id": "p.id", "pricePerHour": "p.price_per_hour", "createdAt": "p.created_at"},
    newest_first=False,
)


def get(profile_id: str) -> Row:
    """The row of the profile. Raises `NotFound`."""
    row = PROFILES.get(profile_id)
    if row is None:
        raise NotFound("compute profile", profile_id)
    return row


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The profiles that pass *filters*, by id."""
    return PROFILES.page(filters, paging)


def known() -> list[ComputeProfile]:
    """All profiles, by id."""
    alive = ComputeProfile.select().where(ComputeProfile.deleted_at.is_null())
    return list(alive.order_by(ComputeProfile.id))


def usable(profile_id: str, *, field: str = "compute") -> ComputeProfile:
    """The profile, which will exist until this transaction ends.

    Raises `Invalid`, naming *field* and the profiles that there are.
    """
    profile = _read(profile_id, "FOR SHARE")
    if profile is None or profile.deleted_at is not None:
        there_are = ", ".join(each.id for each in known())
        raise Invalid({field: [f"There is no compute profile {profile_id!r}; use {there_are}."]})
    return profile


def configuration(profile: ComputeProfile) -> dict[str, Any]:
    """The profile as a batch keeps it: the wire's names, amounts as numbers."""
    shown = {camel(name): getattr(profile, name) for name in ("id", "queue", *EDITABLE)}
    price = profile.price_per_hour
    del shown["description"]
    return shown | {"pricePerHour": None if price is None else float(price)}


def locked(profile_id: str, *, version: int | None = None) -> ComputeProfile:
    """The profile, nobody else's until this transaction ends.

    Raises `NotFound`, or `VersionMismatch` unless it is at *version*.
    """
    profile = _read(profile_id, "FOR UPDATE")
    if profile is None or profile.deleted_at is not None:
        raise NotFound("compute profile", profile_id)
    if version is not None and version != profile.version:
        raise VersionMismatch(
            f"Compute profile {profile_id} is at version {profile.version} now,"
            f" no longer at {version}."
        )
    return profile


def create(profile_id: str, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Make a profile of what *fields* name, or one that was deleted anew.

    Its queue is called as it is, unless they say otherwise. Raises `Invalid`, or `Conflict` if
    there is one of that id.
    """
    values = {"queue": profile_id, **DEFAULTS, **fields}
    _check_queue(profile_id, values["queue"])
    try:
        with db.transaction():
            _make(profile_id, values, now)
    except IntegrityError:
        # Somebody else was quicker.
        _check_queue(profile_id, values["queue"])
        raise Conflict(f"There is a compute profile {profile_id} already.") from None


def _make(profile_id: str, values: Mapping[str, Any], now: datetime) -> None:
    profile = _read(profile_id, "FOR UPDATE")
    if profile is None:
        ComputeProfile.insert(**values, id=profile_id, created_at=now, updated_at=now).execute()
    elif profile.deleted_at is not None:
        _update(profile, {**values, "deleted_at": None, "created_at": now}, now)
    else:
        raise Conflict(f"There is a compute profile {profile_id} already.")


def change(profile: ComputeProfile, fields: Mapping[str, Any], *, now: datetime) -> Changes:
    """Change what *fields* name of a profile that is locked; what that changed. Raises `Invalid`.

    Batches that exist keep to what was said when they were submitted.
    """
    if fields.get("queue", profile.queue) != profile.queue:
        raise Invalid({"queue": ["A profile keeps its queue, for its workers consume that."]})
    before = {name: getattr(profile, name) for name in EDITABLE}
    named = {name: fields[name] for name in EDITABLE if name in fields}
    changes = {name: (before[name], new) for name, new in named.items() if before[name] != new}
    if changes:
        _update(profile, {name: new for name, (_, new) in changes.items()}, now)
    return {camel(name): pair for name, pair in changes.items()}


def delete(profile: ComputeProfile, *, now: datetime) -> None:
    """Delete a profile that is locked. Raises `Conflict` while it must be there."""
    if profile.id == LOCAL:
        raise Conflict(f"Batches that name no compute profile use {LOCAL}; it stays.")
    live = Batch.select().where(Batch.finished_at.is_null(), Batch.compute_id == profile.id)
    if live.exists():
        raise Conflict(f"Compute profile {profile.id} is used by batches that have not ended.")
    _update(profile, {"deleted_at": now}, now)


def _check_queue(profile_id: str, queue: str) -> None:
    if queue == RUNS_QUEUE:
        raise Invalid({"queue": [f"{RUNS_QUEUE!r} is the queue of schedules; choose another."]})
    user = ComputeProfile.get_or_none(ComputeProfile.queue == queue)
    if user is not None and user.id != profile_id:
        has = "has" if user.deleted_at is None else "had, until it was deleted,"
        raise Invalid({"queue": [f"Compute profile {user.id} {has} this queue; choose another."]})


def _read(profile_id: str, locking: str) -> ComputeProfile | None:
    query = ComputeProfile.select().where(ComputeProfile.id == profile_id)
    if not db.is_sqlite():
        query = query.for_update(locking)  # type: ignore[arg-type] # as in runs
    profile: ComputeProfile | None = query.get_or_none()
    return profile


def _update(profile: ComputeProfile, edits: Mapping[str, Any], now: datetime) -> None:
    ComputeProfile.update(**edits, version=profile.version + 1, updated_at=now).where(
        ComputeProfile.id == profile.id
    ).execute()
