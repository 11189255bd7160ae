"""Which release of the time zone data this process goes by."""

import zoneinfo
from importlib import import_module
from pathlib import Path


def system_release() -> str | None:
    """The release that the operating system brings, such as 2026f; null where it does not tell.

    Python prefers these data to those of the `tzdata` package, zone by zone.
    """
    for folder in zoneinfo.TZPATH:
        try:
            with (Path(folder) / "tzdata.zi").open(encoding="ascii") as lines:
                return lines.readline().removeprefix("# version ").strip()
        except OSError:
            continue
    return None


def package_release() -> str | None:
    """The release that the `tzdata` package brings; null where it is not installed."""
    try:
        release: str = import_module("tzdata").IANA_VERSION
    except ImportError:
        return None
    return release
