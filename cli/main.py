"""`agent-manager`: the operator's door."""

from typing import Any

import click
from peewee import PeeweeException

from cli.backup import backup
from cli.compute import compute_group
from cli.doctor import doctor
from cli.migrate import migrate
from cli.token import token
from cli.up import up
from shared.errors import AgentManagerError


class Group(click.Group):
    """Commands whose errors are sentences for the person who typed them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command; an error raised on purpose ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except AgentManagerError as error:
            raise click.ClickException(str(error)) from error
        except PeeweeException as error:
            why = " ".join(str(error).split())
            raise click.ClickException(f"The database cannot be used: {why}.") from error


@click.group(cls=Group)
@click.version_option(package_name="agent-manager", prog_name="agent-manager")
def main() -> None:
    """Self-hosted cron for AI agents."""


for command in (up, migrate, token, compute_group, doctor, backup):
    main.add_command(command)
