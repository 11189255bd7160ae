"""Identifiers that sort by the time they were made."""

import os
from datetime import datetime
from uuid import UUID


def uuid7(now: datetime) -> UUID:
    """A version 7 UUID of RFC 9562: milliseconds of *now*, then 74 random bits."""
    return UUID(uuid7_hex(now))


def uuid7_hex(now: datetime) -> str:
    """The 32 hexadecimal digits of a `uuid7`, for where thousands are made at once."""
    noise = os.urandom(10).hex()
    variant = "89ab"[int(noise[3], 16) & 3]
    return f"{int(now.timestamp() * 1000):012x}7{noise[:3]}{variant}{noise[4:19]}"
