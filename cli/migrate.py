"""`agent-manager migrate`: bring the database up to date."""

from datetime import timedelta

import click
from peewee import Database

from shared import clock, db, settings
from shared.migrations import migrate as apply
from shared.process import StopFlag

# A database that is started together with us needs a while.
PATIENCE = timedelta(seconds=60)
PAUSE_SECONDS = 1


@click.command()
def migrate() -> None:
    """Bring the database up to date. Several may be started at once: one does the work."""
    configured = settings.load()
    database = db.connect(configured.database_url)
    with StopFlag() as stop:
        wait_for(database, stop)
        if not stop.is_set():
            report(apply(database))


def wait_for(database: Database, stop: StopFlag) -> None:
    """Wait until the database answers, or a signal comes. Raises what it answers in the end."""
    until = clock.monotonic() + PATIENCE.total_seconds()
    told = False
    while True:
        try:
            with database.connection_context():
                return
        except db.UNREACHABLE as error:
            # A file that cannot be opened now cannot be opened in a minute.
            if db.is_sqlite() or clock.monotonic() > until:
                raise
            if not told:
                click.echo(f"Waiting for the database: {' '.join(str(error).split())}", err=True)
                told = True
        if stop.wait(PAUSE_SECONDS):
            return


def report(applied: list[str]) -> None:
    """Say what was done to the database."""
    for name in applied:
        click.echo(f"Applied {name}.")
    if not applied:
        click.echo("The database is up to date.")
