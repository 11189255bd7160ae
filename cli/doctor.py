"""`agent-manager doctor`: what is well, what is not, and what to do about it."""

from collections.abc import Iterator
from pathlib import Path

import click

from cli import target
from shared import clock, health
from shared.errors import SettingsError
from shared.findings import FAIL, OK, WARN, Finding
from shared.messages import publisher

MARKS = {OK: ("✓", "green"), WARN: ("!", "yellow"), FAIL: ("✗", "red")}
# As wide as the longest name of a finding.
WIDTH = 19


@click.command()
@target.data_dir_option
@click.pass_context
def doctor(context: click.Context, data_dir: Path | None) -> None:
    """Look at everything that is needed. Exits with 1 if something does not work."""
    failed = False
    for finding in _findings(data_dir):
        failed |= finding.status is FAIL
        _show(finding)
    context.exit(1 if failed else 0)


def _findings(data_dir: Path | None) -> Iterator[Finding]:
    try:
        settings = target.settings(data_dir)
    except SettingsError as error:
        yield Finding("settings", FAIL, str(error))
        return
    yield Finding("settings", OK, "Each is well formed.")
    try:
        with target.database(settings), publisher(settings.redis_url) as client:
            yield from health.checkup(client, clock.now, lease=settings.run_lease)
    except SettingsError as error:
        cure = "Name the folder of an `agent-manager up` by --data-dir, or mend DATABASE_URL."
        yield Finding("database", FAIL, str(error), cure)


def _show(finding: Finding) -> None:
    mark, colour = MARKS[finding.status]
    click.echo(f"{click.style(mark, fg=colour)} {finding.name:<{WIDTH}}  {finding.says}")
    for more in filter(None, (finding.cause, finding.cure)):
        click.echo(f"  {'':<{WIDTH}}  {click.style(more, dim=more is finding.cause)}")
