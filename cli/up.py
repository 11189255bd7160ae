"""`agent-manager up`: everything that Agent Manager is, on one machine."""

import sys
from pathlib import Path
from urllib.parse import quote

import click

from cli import admin_token, datadir, embedded, welcome
from cli.address import Address
from cli.child import Child
from cli.datadir import DataDirectory
from cli.migrate import report, wait_for
from cli.supervisor import Supervisor
from cli.terminal import Terminal
from shared import agents, clock, compute, db
from shared.migrations import migrate
from shared.process import StopFlag
from shared.settings import Settings, environment, load, variable

# `-P`: a folder named `worker` where the user happens to be must not be taken for ours.
PYTHON = (sys.executable, "-P", "-m")
API = (*PYTHON, "gunicorn", "-c", "python:api.gunicorn_conf", "api.app:create_app()", "--bind")
SCHEDULER = (*PYTHON, "scheduler")
WORKER = (*PYTHON, "worker")
VALKEY = "valkey"
# They run the items of batches, so that no schedule waits for them.
BATCH_WORKER = "batch-worker"


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Where everything is kept.",
)
@click.option("--host", help="Address to listen on.  [default: AGENT_MANAGER_HOST or 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [default: PORT or 8000]")
@click.option(
    "--workers",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many worker processes to run.",
)
def up(data_dir: Path, host: str | None, port: int | None, workers: int) -> None:
    """Run everything on this machine.

    That is: Valkey, database, api, scheduler and workers.
    """
    with datadir.take(data_dir) as data, StopFlag() as stop:
        environ = _environment(data, host, port)
        settings = load(environ)
        address = Address(settings.host, settings.port)
        address.check_free()
        profiles = _profiles(settings)
        crew = _crew(workers, address, [*profiles])
        terminal = Terminal((VALKEY, *crew), colour=False if environ.get("NO_COLOR") else None)
        grace = settings.shutdown_grace.total_seconds()
        with Supervisor(terminal, stop, grace_seconds=grace) as supervisor:
            if settings.redis_url == data.redis_url:
                embedded.end_leftover(data)
                # What it has to say before it answers is advice on tuning the kernel.
                valkey = Child(VALKEY, embedded.command(data), environ, terminal, silent=True)
                supervisor.start_server(valkey)
                embedded.wait_for(valkey, data, stop)
            token = _prepare(settings, data, stop)
            for name, command in crew.items():
                # gunicorn imports from where it stands, whatever `-P` says: let it stand in ours.
                directory = data.path if name == "api" else None
                told = environ | {variable("compute"): profiles.get(name, "")}
                supervisor.start(Child(name, command, told, terminal, directory))
            supervisor.watch(address.answers, every=0.05)
            if not stop.is_set():
                terminal.block(welcome.block(address, data, token))
            supervisor.watch(lambda: False, every=0.5)
            terminal.block(f"Stopping, within {grace:g} s. Ctrl-C again stops at once.")
        terminal.block("Agent Manager has stopped.")


def _environment(data: DataDirectory, host: str | None, port: int | None) -> dict[str, str]:
    """What the processes are told: what we were told, and where that is silent, what we chose."""
    environ = environment()
    environ["DATABASE_URL"] = _anchored(environ.get("DATABASE_URL") or data.database_url)
    environ["REDIS_URL"] = environ.get("REDIS_URL") or data.redis_url
    if host is not None:
        environ[variable("host")] = host
    if port is not None:
        environ[variable("port")] = str(port)
    return environ


def _profiles(settings: Settings) -> dict[str, str]:
    """The workers for batches, and the compute profile of each: `local`, and one that is named."""
    profiles = {BATCH_WORKER: compute.LOCAL}
    if settings.compute not in {"", compute.LOCAL}:
        profiles[f"{settings.compute}-worker"] = settings.compute
    return profiles


def _anchored(url: str) -> str:
    """*url*, meaning the same wherever a process stands: a relative path of SQLite made whole."""
    path = url.removeprefix("sqlite:///")
    if path in {url, ""} or path.startswith("/"):
        return url
    return f"sqlite:///{quote(str(Path.cwd()))}/{path}"


def _crew(workers: int, address: Address, for_batches: list[str]) -> dict[str, tuple[str, ...]]:
    """The command lines of the processes, by their names."""
    names = ["worker"] if workers == 1 else [f"worker-{n}" for n in range(1, workers + 1)]
    api = (*API, address.socket)
    return {"api": api, "scheduler": SCHEDULER, **dict.fromkeys([*names, *for_batches], WORKER)}


def _prepare(settings: Settings, data: DataDirectory, stop: StopFlag) -> str:
    """Make what the processes count on: tables, sample agents, a token, which is given back."""
    database = db.connect(settings.database_url)
    wait_for(database, stop)
    if stop.is_set():
        return ""
    report(migrate(database))
    with db.transaction():
        if settings.compute:
            compute.usable(settings.compute, field=variable("compute"))
    with db.connection(), datadir.usable(data.path):
        agents.seed(now=clock.now())
        token = admin_token.ensure(data.admin_token, now=clock.now())
    database.close()
    return token
