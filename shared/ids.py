"""Identifiers that sort by the time they were made."""

import secrets
from datetime import datetime
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


def uuid7(now: datetime) -> UUID:
    """A version 7 UUID of RFC 9562: milliseconds of *now*, then 74 random bits."""
    millis = int(now.timestamp() * 1000)
    noise = secrets.randbits(74)
    return UUID(
        int=millis << 80 | _VERSION | (noise >> 62) << 64 | _VARIANT | noise & (1 << 62) - 1
    )
