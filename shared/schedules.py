"""The standing orders: made, changed, deleted and listed. Saving one never runs anything."""

from collections.abc import Mapping
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any
from uuid import UUID

from shared import agents, checks, db, due, listing, once, templates
from shared.audit import Changes
from shared.budgets import moves as budgets
from shared.errors import Conflict, NotFound, VersionMismatch
from shared.idempotency import IdempotencyKey
from shared.ids import uuid7
from shared.listing import Listing
from shared.models import Schedule
from shared.pages import Page, Paging, Row
from shared.timing import Timing
from shared.wire import camel

EDITABLE = (
    *("name", "agent_id", "message", "cron_expression", "run_at", "timezone", "enabled"),
    *("start_at", "end_at", "overlap_policy", "catch_up_policy", "catch_up_window_seconds"),
    *("jitter_seconds", "timeout_seconds", "max_attempts", "retry_backoff_seconds"),
    *("priority", "keep_last", "session_policy", "approval_policy", "approval_wait_seconds"),
    *("paused_overlaps", "tags"),
)
DEFAULTS = {name: Schedule._meta.columns[name].default for name in EDITABLE} | {"tags": []}
_TIMING = tuple(each.name for each in fields_of(Timing))

SCHEDULES = Listing(
    table="schedule s",
    key="s.id",
    columns={
        **listing.read(Schedule, "s", "id", *EDITABLE, "description", "error", "next_run_at"),
        "warning": checks.WARNING,
        **listing.read(Schedule, "s", "version", "created_at", "updated_at"),
        "last_run.run_id": listing.text("r.id"),
        "last_run.status": "r.status",
        "last_run.scheduled_for": listing.text("r.scheduled_for"),
        "last_run.started_at": listing.text("r.started_at"),
        "last_run.finished_at": listing.text("r.finished_at"),
    },
    shown="JOIN agent a ON a.id = s.agent_id LEFT JOIN run r ON r.id = s.last_run_id",
    where="s.deleted_at IS NULL",
    filters={
        "enabled": "s.enabled = :enabled",
        "agent_id": "s.agent_id = :agent_id",
        "tag": listing.holds("s.tags", "tag"),
        "q": listing.like("s.name", "q"),
    },
    orders={
        "name": "s.name",
        "createdAt": "s.created_at",
        "updatedAt": "s.updated_at",
        "nextRunAt": "s.next_run_at",
        "priority": "s.priority",
    },
)


def get(schedule_id: UUID) -> Row:
    """The row of the schedule. Raises `NotFound`."""
    row = SCHEDULES.get(schedule_id)
    if row is None:
        raise NotFound("schedule", schedule_id)
    return row


def page(filters: Mapping[str, Any], paging: Paging) -> Page:
    """The schedules that pass *filters*, the newest first."""
    return SCHEDULES.page(listing.searching(filters), paging)


def check_known(schedule_id: UUID) -> None:
    """Raise `NotFound` unless there is or ever was such a schedule."""
    if not Schedule.select().where(Schedule.id == schedule_id).exists():
        raise NotFound("schedule", schedule_id)


def timing_of(values: Mapping[str, Any]) -> Timing:
    """That part of *values* which decides when a schedule fires."""
    return Timing(**{name: values[name] for name in _TIMING})


def create(
    fields: Mapping[str, Any], *, key: IdempotencyKey | None, now: datetime
) -> tuple[UUID, bool]:
    """Make a schedule of what *fields* name; its id, and whether it is new.

    The same *key* gives the same schedule. Raises `Invalid`, or `Conflict` if that schedule has
    been deleted since.
    """
    with db.transaction():
        made = None if key is None else _made_with(key)
        if made is not None:
            return made, False
        values = {**DEFAULTS, **fields}
        templates.check(values["message"])
        timing = timing_of(values)
        timing.check()
        timing.check_future(now)
        agents.check_usable(values["agent_id"])
        schedule_id = uuid7(now)
        Schedule.insert(
            **values,
            id=schedule_id,
            description=timing.describe(),
            next_run_at=timing.first_after(now),
            idempotency_key=key and key.key,
            request_hash=key and key.request_hash,
            created_at=now,
            updated_at=now,
        ).execute()
    return schedule_id, True


def change(
    schedule_id: UUID, fields: Mapping[str, Any], *, version: int | None, now: datetime
) -> Changes:
    """Change what *fields* name, and nothing else; what that changed.

    What was named until *now* is recorded first, and nothing is ever made from the old definition
    again. Raises `NotFound`, `Invalid`, or `VersionMismatch` unless it is at *version*.
    """
    with db.transaction():
        schedule = _locked(schedule_id, version, now)
        before = {name: getattr(schedule, name) for name in EDITABLE}
        after = {**before, **_one_of_two(fields)}
        changes = {name: (before[name], after[name]) for name in EDITABLE}
        changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
        if not changes and schedule.error is None:
            return {}
        edits = {name: new for name, (_, new) in changes.items()}
        if schedule.error is not None or not changes.keys().isdisjoint(_TIMING):
            edits |= _retimed(timing_of(after), changes, now)
        if "message" in changes:
            templates.check(after["message"])
        if "agent_id" in changes:
            agents.check_usable(after["agent_id"])
        _update(schedule, {**edits, "error": None}, now)
    return {camel(name): pair for name, pair in changes.items()}


def delete(schedule_id: UUID, *, version: int | None, now: datetime) -> None:
    """Delete the schedule, and its budgets; what it ran stays.

    Raises `NotFound` or `VersionMismatch`.
    """
    with db.transaction():
        schedule = _locked(schedule_id, version, now)
        _update(schedule, {"deleted_at": now, "enabled": False, "next_run_at": None}, now)
        budgets.delete_of_schedule(schedule_id)


def _locked(schedule_id: UUID, version: int | None, now: datetime) -> Schedule:
    """The schedule, ours until the transaction ends, with what it named until *now* recorded."""
    schedule = _read_locked(schedule_id)
    if version is not None and version != schedule.version:
        raise VersionMismatch(
            f"Schedule {schedule_id} is at version {schedule.version} now, no longer at {version}."
        )
    if schedule.enabled and schedule.next_run_at is not None and schedule.next_run_at <= now:
        while due.settle(now, only=schedule_id):
            pass
        schedule = _read_locked(schedule_id)
    return schedule


def _read_locked(schedule_id: UUID) -> Schedule:
    query = Schedule.select().where(Schedule.id == schedule_id, Schedule.deleted_at.is_null())
    if not db.is_sqlite():
        query = query.for_update("FOR NO KEY UPDATE")  # type: ignore[arg-type] # as in runs
    schedule: Schedule | None = query.get_or_none()
    if schedule is None:
        raise NotFound("schedule", schedule_id)
    return schedule


def _update(schedule: Schedule, edits: Mapping[str, Any], now: datetime) -> None:
    updated: int = (
        Schedule.update(**edits, version=schedule.version + 1, updated_at=now)
        .where(Schedule.id == schedule.id, Schedule.version == schedule.version)
        .execute()
    )
    assert updated == 1, "the row is locked"


def _retimed(timing: Timing, changes: Changes, now: datetime) -> dict[str, Any]:
    timing.check()
    if (timing.enabled and "enabled" in changes) or "run_at" in changes:
        timing.check_future(now)
    return {"description": timing.describe(), "next_run_at": timing.first_after(now)}


def _one_of_two(fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields*, where naming one of cron expression and instant unnames the other."""
    other = {"cron_expression": "run_at", "run_at": "cron_expression"}
    unnamed = {other[name]: None for name in other if fields.get(name) is not None}
    return {
        **unnamed,
        **{
            name: fields[name] for name in fields if fields[name] is not None or name not in unnamed
        },
    }


def _made_with(key: IdempotencyKey) -> UUID | None:
    once.hold(key)
    made: Schedule | None = Schedule.get_or_none(Schedule.idempotency_key == key.key)
    if made is None:
        return None
    key.check(made.request_hash)
    if made.deleted_at is not None:
        raise Conflict(f"Schedule {made.id}, made with this key, has been deleted.")
    return made.id
