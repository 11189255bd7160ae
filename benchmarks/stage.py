"""The servers and databases that a benchmark plays on; nothing of them outlives it."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Self

from servers import Postgres, Valkey


class Kind(StrEnum):
    """A kind of database."""

    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"


class _DurablePostgres(Postgres):
    """A PostgreSQL server that waits for its disk, as one in production does.

    It takes as many connections as it does by default.
    """

    def command(self) -> list[str]:
        """The command line of the server."""
        words = [word for word in super().command() if word != "-F"]
        return [*words, "-c", "max_connections=100"]


class Stage:
    """Use it as a context: a server starts when it is first asked for, and stops at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._databases = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def redis(self) -> str:
        """The URL of an empty Valkey."""
        self._valkey.flush()
        return self._valkey.url

    @contextmanager
    def database(self, kind: Kind) -> Iterator[str]:
        """The URL of an empty database, which is gone behind the block."""
        if kind is Kind.SQLITE:
            with tempfile.TemporaryDirectory(prefix="am-bench-") as folder:
                yield f"sqlite:///{Path(folder, 'bench.db')}"
            return
        self._databases += 1
        name = f"bench{self._databases}"
        self._postgres.execute(f"CREATE DATABASE {name}")
        try:
            yield self._postgres.url(name)
        finally:
            self._postgres.execute(f"DROP DATABASE {name} WITH (FORCE)", "CHECKPOINT")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for the logs of processes."""
        with tempfile.TemporaryDirectory(prefix="am-bench-") as folder:
            yield Path(folder)

    @cached_property
    def _valkey(self) -> Valkey:
        return self._stack.enter_context(Valkey())

    @cached_property
    def _postgres(self) -> Postgres:
        return self._stack.enter_context(_DurablePostgres())


def bin_first() -> str:
    """A PATH on which the programs of this environment come first."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
