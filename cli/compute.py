"""`agent-manager compute`: the machines that batches may use, from a file that operators keep."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from marshmallow import ValidationError

from cli import target
from shared import audit, clock, compute, db
from shared.audit import Actor, Changes
from shared.compute_schema import ProfileFieldsSchema
from shared.errors import Invalid, NotFound
from shared.fields import slug
from shared.kinds import flatten

CLI = Actor("cli")
EXAMPLE = """
Each table of the file is a compute profile. All that can be said of one is optional:

\b
  [spot-large]
  instanceType = "m7i.large"
  region = "eu-central-1"
  vcpu = 2
  memoryMb = 8192
  spot = true
  pricePerHour = 0.042
  maxWorkers = 20
"""


@click.group(name="compute")
def compute_group() -> None:
    """Keep the compute profiles, on which batches run."""


@compute_group.command(epilog=EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target.data_dir_option
def apply(file: Path, data_dir: Path | None) -> None:
    """Make the compute profiles be what FILE (TOML) says.

    Those that it does not name stay. All of it is done, or nothing; doing it again changes nothing
    more.
    """
    profiles = _read(file)
    with target.usable_database(data_dir), db.transaction():
        lines = [_applied(profile_id, fields) for profile_id, fields in profiles.items()]
    for line in lines:
        click.echo(line)


@compute_group.command(name="list")
@target.data_dir_option
def list_profiles(data_dir: Path | None) -> None:
    """List the compute profiles."""
    with target.usable_database(data_dir), db.connection():
        profiles = compute.known()
    for profile in profiles:
        price = profile.price_per_hour
        facts = (
            f"queue {profile.queue}",
            profile.instance_type,
            profile.region,
            "spot" if profile.spot else None,
            "price unknown" if price is None else f"{_shown(price)} USD an hour",
            profile.max_workers and f"at most {profile.max_workers} workers",
        )
        click.echo(f"{profile.id}: {', '.join(str(each) for each in facts if each)}")


def _read(file: Path) -> dict[str, Any]:
    """The profiles in *file*: what is said of each. Raises `ClickException` with all mistakes."""
    try:
        tables = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} is not TOML: {error}") from None
    profiles: dict[str, Any] = {}
    mistakes: list[str] = []
    for profile_id, table in tables.items():
        try:
            if not isinstance(table, dict):
                raise ValidationError("A profile is a table; write it as [its-id].")
            slug("", "").deserialize(profile_id)
            profiles[profile_id] = ProfileFieldsSchema().load(table)
        except ValidationError as error:
            mistakes += [f"  {profile_id}: {says}" for says in flatten(error.messages)]
    if mistakes:
        raise click.ClickException("\n".join([f"{file} cannot be applied:", *mistakes]))
    if not profiles:
        raise click.ClickException(f"{file} names no compute profile: write one as [its-id].")
    return profiles


def _applied(profile_id: str, fields: Mapping[str, Any]) -> str:
    """Apply what is said of one profile; a line about that."""
    now = clock.now()
    try:
        try:
            profile = compute.locked(profile_id)
        except NotFound:
            compute.create(profile_id, fields, now=now)
            _record("create", profile_id, audit.made(fields))
            return f"{profile_id}: made"
        changes = compute.change(profile, fields, now=now)
    except Invalid as error:
        raise click.ClickException(f"{profile_id}: {error}") from None
    if not changes:
        return f"{profile_id}: unchanged"
    _record("update", profile_id, changes)
    return f"{profile_id}: " + ", ".join(
        f"{name} {_shown(old)} → {_shown(new)}" for name, (old, new) in changes.items()
    )


def _record(action: str, profile_id: str, changes: Changes) -> None:
    resource = ("compute_profile", profile_id)
    audit.record(CLI, f"compute_profile.{action}", resource, changes, now=clock.now())


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "unset" if value is None else str(value)
