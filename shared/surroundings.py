"""What every process stands on: the database and its tables, Redis, the clock, the time zones."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import redis
from peewee import PeeweeException
from playhouse.pool import MaxConnectionsExceeded

from shared import db, migrations, zones
from shared.errors import Invalid
from shared.findings import FAIL, OK, WARN, Finding, in_words

# An agent starts within a second of its instant, and a lease leaves room for some seconds more.
SKEW_NOTICED, SKEW_HARMFUL = timedelta(seconds=1), timedelta(seconds=5)


def database() -> Finding:
    """Whether the database answers."""
    name = "database"
    if db.is_sqlite() and not Path(db.proxy.obj.database).exists():
        # Looking must not make the file.
        return Finding(name, FAIL, "There is no database yet.", "Make it: agent-manager migrate")
    try:
        _ask()
    except (PeeweeException, MaxConnectionsExceeded) as error:
        cure = "Start it, or mend DATABASE_URL."
        return Finding(name, FAIL, "The database cannot be used.", cure, _first_line(error))
    return Finding(name, OK, f"{'SQLite' if db.is_sqlite() else 'PostgreSQL'} answers.")


def _ask() -> None:
    kept = not db.proxy.is_closed()
    try:
        _ask_once()
    except db.UNREACHABLE:
        if not kept:
            raise
        # The connection that this thread has kept may be all that is broken.
        db.proxy.close()
        _ask_once()


def _ask_once() -> None:
    with db.connection():
        db.execute("SELECT 1")


def migrated() -> Finding:
    """Whether the database has the tables that this release wants."""
    try:
        missing = migrations.pending(db.proxy.obj)
    except PeeweeException as error:
        cure = "Let its user read all tables."
        says = "The database's own history cannot be read."
        return Finding("migrations", FAIL, says, cure, _first_line(error))
    if missing:
        says = f"The database lacks {', '.join(missing)}."
        return Finding("migrations", FAIL, says, "Apply what is missing: agent-manager migrate")
    return Finding("migrations", OK, "All are applied.")


def broker(client: redis.Redis) -> Finding:
    """Whether Redis answers, and would rather refuse a message than drop one."""
    try:
        policy = eviction_policy(client)
    except redis.RedisError as error:
        cure = "Start it, or mend REDIS_URL; until then runs are recorded and wait."
        return Finding("redis", FAIL, "Redis cannot be reached.", cure, _first_line(error))
    return keeping(policy)


def keeping(policy: str | None) -> Finding:
    """Whether a Redis with that eviction policy keeps what it is told, until somebody takes it."""
    cure = "Set its maxmemory-policy to noeviction: others lose whole queues when it is full."
    if policy is None:
        return Finding("redis", WARN, "Redis answers, and hides its eviction policy.", cure)
    if policy == "noeviction":
        return Finding("redis", OK, "Redis answers, and evicts nothing.")
    says = f"Redis evicts: its policy is {policy}."
    if policy.startswith("volatile-"):
        # As many hosted ones come.
        return Finding("redis", WARN, f"{says} Nothing of ours, for none of that expires.", cure)
    return Finding("redis", FAIL, says, cure)


def eviction_policy(client: redis.Redis) -> str | None:
    """What Redis does when it is full; None: it hides that. Raises `redis.RedisError`."""
    client.ping()
    # A managed Redis may forbid the one, the other, or both.
    for asked, name in (
        (lambda: client.config_get("maxmemory-policy"), "maxmemory-policy"),
        (lambda: client.info("memory"), "maxmemory_policy"),
    ):
        try:
            return str(asked()[name])
        except (redis.ResponseError, KeyError):
            continue
    return None


def skew(clock: Callable[[], datetime]) -> Finding:
    """How far this host's clock is from the database's, by which all others are compared."""
    if db.is_sqlite():
        return Finding("clock", OK, "SQLite runs on this host, and so goes by the same clock.")
    before = clock()
    (theirs,) = db.execute("SELECT clock_timestamp()").fetchone()
    after = clock()
    apart = abs(theirs - before - (after - before) / 2)
    if apart <= SKEW_NOTICED:
        return Finding("clock", OK, "This host and the database agree on the time.")
    status = FAIL if apart > SKEW_HARMFUL else WARN
    says = f"This host and the database are {in_words(apart)} apart."
    return Finding("clock", status, says, "Let NTP set the clocks of both.")


def zones_known(system: str | None, package: str | None) -> Finding:
    """Whether there are time zones, and whether their data are as new as can be had here."""
    name = "time zones"
    try:
        zones.load_zone("Europe/Berlin")
    except (Invalid, OSError):
        return Finding(
            name, FAIL, "There are no time zone data.", "Install them: pip install tzdata"
        )
    if system is None:
        release = f"release {package}" if package else "an unknown release"
        return Finding(name, OK, f"The time zone data are those of {release}.")
    if package is not None and system < package:
        return Finding(
            name,
            WARN,
            f"The system's time zone data are of {system}, the tzdata package's of {package}.",
            "Update the system's, or set PYTHONTZPATH= (to nothing) to go by the package's.",
        )
    return Finding(name, OK, f"The time zone data are the system's, of release {system}.")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
