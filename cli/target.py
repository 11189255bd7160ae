"""Which system a command means: what the settings name, or what an `up` keeps in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from playhouse.pool import PooledDatabase

from cli.datadir import DataDirectory
from shared import db, surroundings
from shared.findings import FAIL
from shared.settings import Settings, environment, load

DEFAULT = Path("data")

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of an `agent-manager up`.  [default: data, if DATABASE_URL is not set]",
)


def settings(data_dir: Path | None) -> Settings:
    """The settings of the `up` in *data_dir*, or in ./data; else those of the environment alone.

    Raises `ClickException` if there has been no `up` in *data_dir*.
    """
    environ = {name: value for name, value in environment().items() if value}
    if data_dir is None:
        if environ.get("DATABASE_URL") or not _has_been_used(DEFAULT):
            return load(environ)
        return load(_urls(DEFAULT) | environ)
    if not _has_been_used(data_dir):
        raise click.ClickException(f"There has been no `agent-manager up` in {data_dir}.")
    return load(environ | _urls(data_dir))


def _urls(data_dir: Path) -> dict[str, str]:
    data = DataDirectory(data_dir.absolute())
    return {"DATABASE_URL": data.database_url, "REDIS_URL": data.redis_url}


def _has_been_used(data_dir: Path) -> bool:
    return (data_dir / "up.lock").exists()


@contextmanager
def database(configured: Settings) -> Iterator[None]:
    """Point the models at the system's database, and close it at the end."""
    opened = db.connect(configured.database_url)
    try:
        yield
    finally:
        opened.close()
        if isinstance(opened, PooledDatabase):
            opened.close_all()


@contextmanager
def usable_database(data_dir: Path | None) -> Iterator[None]:
    """Point the models at the system's database; a sentence if that cannot be used."""
    with database(settings(data_dir)):
        for check in (surroundings.database, surroundings.migrated):
            finding = check()
            if finding.status is FAIL:
                raise click.ClickException(
                    " ".join(filter(None, (finding.says, finding.cause, finding.cure)))
                )
        yield
