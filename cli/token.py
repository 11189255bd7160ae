"""`agent-manager token`: who may use the API."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import click

from cli import target
from shared import audit, clock, db, tokens
from shared.audit import Actor
from shared.pages import LARGEST_SIZE, Paging, Row
from shared.states import Role

CLI = Actor("cli")
HEADINGS = ("ID", "NAME", "ROLE", "BEGINS WITH", "CREATED", "EXPIRES", "REVOKED")
LONGEST_NAME = 200


def _name(context: click.Context, parameter: click.Parameter, name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise click.BadParameter(f"give 1 to {LONGEST_NAME} printable characters.")
    return name


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of the API."""


@token.command()
@click.argument("name", callback=_name)
@click.option(
    "--role",
    type=click.Choice([each.value for each in Role]),
    required=True,
    help="viewer reads, operator also changes schedules and runs, admin may do all.",
)
@click.option(
    "--expires-days", type=click.IntRange(1, 36_500), help="Refuse it after so many days."
)
@target.data_dir_option
def create(name: str, role: str, expires_days: int | None, data_dir: Path | None) -> None:
    """Make a token, and print it: it is never to be had again."""
    now = clock.now()
    expires_at = now + timedelta(days=expires_days) if expires_days else None
    with target.usable_database(data_dir), db.transaction():
        token_id, secret = tokens.create(name, Role(role), expires_at=expires_at, now=now)
        changes = {"name": (None, name), "role": (None, role), "expiresAt": (None, expires_at)}
        audit.record(CLI, "token.create", ("token", token_id), changes, now=now)
    click.echo(secret)
    until = f", until {_time(expires_at)}" if expires_at else ""
    click.echo(
        f"Token {token_id} lets {name!r} in as {role}{until}. Keep it: it is not shown again.\n"
        "Send it as  Authorization: Bearer <token>",
        err=True,
    )


@token.command("list")
@target.data_dir_option
def list_(data_dir: Path | None) -> None:
    """List the tokens that were ever made, the newest first."""
    with target.usable_database(data_dir), db.connection():
        rows = [_line(row) for row in _rows()]
    lines = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@token.command()
@click.argument("token_id", metavar="ID", type=click.UUID)
@target.data_dir_option
def revoke(token_id: UUID, data_dir: Path | None) -> None:
    """Refuse a token from now on."""
    now = clock.now()
    with target.usable_database(data_dir), db.transaction():
        tokens.revoke(token_id, now=now)
        audit.record(CLI, "token.revoke", ("token", token_id), now=now)
    click.echo(f"Token {token_id} is refused from now on.")


def _rows() -> Iterator[Row]:
    page = tokens.page({}, Paging(size=LARGEST_SIZE))
    for number in range(page.pages):
        yield from tokens.page({}, Paging(number, LARGEST_SIZE)).rows


def _line(row: Row) -> tuple[str, ...]:
    id, name, role, prefix, *times = row
    return (
        str(UUID(id)),
        name,
        role,
        prefix,
        *(_time(each and db.instant(each)) for each in times),
    )


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%MZ}" if at else "-"
