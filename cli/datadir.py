"""The data directory of `agent-manager up`: whose it is, and where in it things are."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import click

# sockaddr_un holds 108 bytes on Linux, 104 on macOS and the BSDs, the closing NUL included.
LONGEST_SOCKET_PATH = 103


class DataDirectory:
    """A folder that only its owner may look into, and that one `up` at a time works in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.admin_token = path / "admin-token"
        self.valkey = path / "valkey"
        self.valkey.mkdir(mode=0o700, exist_ok=True)
        self.socket = _socket_path(path)

    @property
    def database_url(self) -> str:
        """The url of the SQLite database that lives here."""
        return f"sqlite:///{quote(str(self.path / 'agent-manager.db'))}"

    @property
    def redis_url(self) -> str:
        """The url of the Valkey server that listens here."""
        return f"unix://{quote(str(self.socket))}"


@contextmanager
def take(path: Path) -> Iterator[DataDirectory]:
    """Make the data directory if need be, and keep every other `up` out of it."""
    path = path.absolute()
    with usable(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / "up.lock").open("a+")
        data = DataDirectory(path)
    with lock:
        _lock(lock, path)
        yield data


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn what the system refuses there, a right or a full disk, into a sentence."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(
            f"The data directory {path} cannot be used: {error.strerror}."
            " Choose another with --data-dir."
        ) from None


def _lock(lock: TextIO, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise click.ClickException(
            f"The data directory {path} is in use by another `agent-manager up`, process"
            f" {lock.read().strip()}. Stop that one, or choose another with --data-dir."
        ) from None
    with usable(path):
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()


def _socket_path(path: Path) -> Path:
    socket = path / "valkey.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    # The same name each time, so that a server that an earlier `up` left behind is found again.
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"agent-manager-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise click.ClickException(f"{folder} belongs to somebody else; remove it.")
    return folder / "valkey.sock"
