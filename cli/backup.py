"""`agent-manager backup`: a copy of all there is, while everything runs."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import click

from cli import target
from shared import backup as backups
from shared import db
from shared.backup import Progress
from shared.process import StopFlag

# What is copied in the blink of an eye needs no sign of progress.
BIG_MB = 50
SECRETS = {"password", "sslpassword"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it is there already.")
@target.data_dir_option
def backup(file: Path, force: bool, data_dir: Path | None) -> None:
    """Copy the SQLite database to FILE while everything runs.

    FILE holds all that Agent Manager knows, messages and answers included.
    """
    configured = target.settings(data_dir)
    with target.database(configured):
        if not db.is_sqlite():
            raise click.ClickException(_pg_dump(configured.database_url, file))
        database = Path(db.proxy.obj.database)
    with StopFlag() as stop, _shown(database) as show:

        def progress(copied: int, total: int) -> None:
            if stop.is_set():
                raise click.Abort
            show(copied, total)

        backups.write(database, file, overwrite=force, progress=progress)
    click.echo(f"Copied {database} to {file}: {_megabytes(file):,.1f} MB, checked.")


def _pg_dump(url: str, file: Path) -> str:
    """What to do where the database is PostgreSQL; it names everything but the password."""
    parts = urlsplit(url)
    credentials, at, server = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in SECRETS]
    bare = parts._replace(netloc=f"{user}{at}{server}", query=urlencode(query, safe="/"))
    command = ["pg_dump", "--format=custom", f"--file={file}", bare.geturl()]
    return (
        f"PostgreSQL has a tool of its own: {shlex.join(command)}"
        " (it asks for the password, or takes it from ~/.pgpass)."
    )


@contextmanager
def _shown(database: Path) -> Iterator[Progress]:
    """Shows somebody who looks on how far a big database has been copied."""
    if not sys.stderr.isatty() or not database.exists() or _megabytes(database) < BIG_MB:
        yield lambda copied, total: None
        return
    with click.progressbar(length=1, label="Copying", file=sys.stderr) as bar:

        def show(copied: int, total: int) -> None:
            bar.length = total
            bar.update(copied - bar.pos)

        yield show


def _megabytes(file: Path) -> float:
    return file.stat().st_size / 1_000_000
