"""Everything a deployment may change: read once, checked together, passed down.

This is the only reader of the environment. `DATABASE_URL`, `REDIS_URL` and `PORT` are spelled as
Heroku sets them; every other field is `AGENT_MANAGER_` and its name in capitals, a duration in
seconds. The README's table is tested against this class.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.errors import SettingsError

PREFIX = "AGENT_MANAGER_"
SECRET_PREFIX = f"{PREFIX}SECRET_"
# A secret whose name ends so is in the file that its value names, as containers have them.
_IN_A_FILE = "_FILE"
UNPREFIXED = frozenset({"database_url", "redis_url", "port"})
# What a child process needs to find programs, files and its language; nothing that can be a secret.
AGENT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a deployment may change; each field is an environment variable."""

    database_url: str = "sqlite:///data/agent-manager.db"
    redis_url: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int = 8000

    admin_token: str = field(default="", repr=False)
    log_level: str = "INFO"
    database_connections: int = 10
    database_timeout: timedelta = timedelta(seconds=15)

    run_lease: timedelta = timedelta(seconds=30)
    heartbeat_interval: timedelta = timedelta(seconds=10)
    reap_interval: timedelta = timedelta(seconds=2)
    dispatch_interval: timedelta = timedelta(seconds=1)
    dispatch_window: int = 200
    resend_after: timedelta = timedelta(seconds=30)
    tick_batch: int = 1000
    retention_days: int = 0

    worker_threads: int = 8
    shutdown_grace: timedelta = timedelta(seconds=25)
    compute: str = ""
    instance_type: str = ""
    region: str = ""
    spot_notice: str = ""
    spot_notice_interval: timedelta = timedelta(seconds=2)

    batch_stall: timedelta = timedelta(minutes=5)

    body_limit: int = 1024 * 1024
    upload_limit: int = 256 * 1024 * 1024
    batch_items: int = 1_000_000
    output_limit: int = 1024 * 1024
    allow_private_addresses: bool = False

    agent_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raise `SettingsError` with a sentence for each mistake."""
        mistakes = [*self._wrong_urls(), *self._out_of_range(), *self._contradictions()]
        if mistakes:
            raise SettingsError("\n".join(mistakes))

    def _wrong_urls(self) -> Iterator[str]:
        if _scheme(self.database_url) not in {"sqlite", "postgres", "postgresql"}:
            yield "DATABASE_URL must begin with sqlite:/// or postgresql:// (or postgres://)."
        if _scheme(self.redis_url) not in {"redis", "rediss", "unix"}:
            yield "REDIS_URL must begin with redis://, rediss:// or unix://."
        elif self.redis_url.startswith("unix://") and urlsplit(self.redis_url).hostname:
            yield "REDIS_URL: the path of a socket begins at the root, as in unix:///run/redis.sock."
        for name in ("database_url", "redis_url"):
            if not _has_sound_port(getattr(self, name)):
                yield f"{variable(name)}: the port is not a number."

    def _out_of_range(self) -> Iterator[str]:
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                value = getattr(self, name)
                yield f"{variable(name)} must be from {least} to {most}, not {value}."
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, timedelta) and value < timedelta(milliseconds=10):
                yield f"{variable(each.name)} must be at least 0.01 seconds."
        if self.log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            yield (
                f"{variable('log_level')} must be DEBUG, INFO, WARNING or ERROR,"
                f" not {self.log_level!r}."
            )
        if self.admin_token and len(self.admin_token) < 20:
            yield (
                f"{variable('admin_token')} must have at least 20 characters;"
                " `openssl rand -hex 32` makes a good one."
            )

    def _contradictions(self) -> Iterator[str]:
        if self.run_lease < timedelta(seconds=2):
            yield f"{variable('run_lease')} must be at least 2 seconds."
        if self.heartbeat_interval * 2 > self.run_lease:
            yield (
                f"{variable('heartbeat_interval')} must be at most half of"
                f" {variable('run_lease')}: a lease must survive one lost heartbeat."
            )


_RANGES = {
    # A worker fetches, records and beats: none of these is to wait for another's connection.
    "database_connections": (4, 100_000),
    "dispatch_window": (1, 100_000),
    "tick_batch": (1, 100_000),
    "retention_days": (0, 36_500),
    "worker_threads": (1, 100_000),
    "port": (1, 65_535),
    "body_limit": (1024, 1 << 30),
    "upload_limit": (1024, 1 << 40),
    "batch_items": (1, 100_000_000),
    "output_limit": (1024, 1 << 30),
}


def variable(name: str) -> str:
    """The environment variable that sets the field *name*."""
    return name.upper() if name in UNPREFIXED else PREFIX + name.upper()


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # A bracket that nobody closed, for one.
        return ""


def _has_sound_port(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018 - it is read to be checked
    except ValueError:
        return False
    return True


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that *environ* (by default the process's own) asks for.

    Raises `SettingsError` with a sentence for each variable that is wrong or unknown.
    """
    environ = os.environ if environ is None else environ
    known = {variable(each.name): each for each in dataclasses.fields(Settings)}
    mistakes = [
        f"{name} is not a setting; see the table in README.md."
        for name in sorted(environ.keys() - known.keys())
        if name.startswith(PREFIX) and not name.startswith(SECRET_PREFIX)
    ]
    values: dict[str, Any] = {
        "agent_environment": {
            name: environ[name] for name in _passed_on(environ) if name in environ
        },
        "secrets": {},
    }
    for name, value in environ.items():
        if name.startswith(SECRET_PREFIX):
            try:
                values["secrets"] |= _secret(name.removeprefix(SECRET_PREFIX), value)
            except SettingsError as error:
                mistakes.append(str(error))
    for name, each in known.items():
        if environ.get(name, "") != "" and each.name not in values:
            try:
                values[each.name] = _read(name, each.type, environ[name])
            except SettingsError as error:
                mistakes.append(str(error))
    try:
        settings = Settings(**values)
    except SettingsError as error:
        mistakes.append(str(error))
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def _secret(name: str, value: str) -> dict[str, str]:
    """A secret by its name: *value*, or what is in the file that it names, but for the last line's
    end."""
    if not name.endswith(_IN_A_FILE):
        return {name: value}
    try:
        text = Path(value).read_text()
    except (OSError, ValueError) as error:
        # What it names could be the secret itself, put there by mistake.
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(f"{SECRET_PREFIX}{name}: its file cannot be read: {why}.") from None
    return {name.removesuffix(_IN_A_FILE): text.removesuffix("\n").removesuffix("\r")}


def _passed_on(environ: Mapping[str, str]) -> list[str]:
    """The names of what agents may see: ours, and what AGENT_MANAGER_AGENT_ENVIRONMENT lists."""
    more = environ.get(variable("agent_environment"), "")
    return [*AGENT_ENVIRONMENT, *(name.strip() for name in more.split(",") if name.strip())]


def _read(name: str, kind: object, text: str) -> Any:
    readers: dict[object, tuple[Callable[[str], Any], str]] = {
        int: (int, "a whole number"),
        bool: (_boolean, "true or false"),
        timedelta: (_seconds, "a number of seconds"),
        str: (str, "text"),
    }
    reader, wanted = readers[kind]
    try:
        return reader(text)
    except (ValueError, OverflowError):
        raise SettingsError(f"{name} must be {wanted}, not {text!r}.") from None


def _boolean(text: str) -> bool:
    match text.strip().lower():
        case "true" | "yes" | "1":
            return True
        case "false" | "no" | "0":
            return False
    raise ValueError(text)


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=float(text))


def environment() -> dict[str, str]:
    """A copy of the process's own environment, to be changed and given to its child processes."""
    return dict(os.environ)


def forget(*names: str) -> None:
    """Have libraries of this process find nothing in its environment under those *names*."""
    for name in names:
        os.environ.pop(name, None)
