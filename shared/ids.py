"""Identifiers that sort by the time they were made."""

import secrets
import threading
from datetime import datetime
from random import getrandbits
from uuid import UUID

#: Before and behind all ids, in hexadecimal digits.
FIRST_HEX, LAST_HEX = "0" * 32, "f" * 32

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_NOISE = (1 << 74) - 1
_LOW = (1 << 62) - 1


class _Sequence:
    """Version 7 UUIDs of RFC 9562, each greater than the last of its millisecond (6.2, method 2).

    Those made together so go to one end of an index, instead of all over it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millis = self._noise = 0

    def next(self, millis: int) -> int:
        """The next one for *millis* since the epoch, as a number."""
        with self._lock:
            if millis == self._millis:
                self._noise = (self._noise + 1 + getrandbits(32)) & _NOISE
            else:
                # Half of the range is left for those to come.
                self._millis, self._noise = millis, secrets.randbits(73)
            noise = self._noise
        return millis << 80 | _VERSION_7 | noise >> 62 << 64 | _VARIANT | noise & _LOW


_sequence = _Sequence()


def uuid7(now: datetime) -> UUID:
    """A UUID whose first 48 bits are the milliseconds of *now*; the others are random."""
    return UUID(int=_sequence.next(int(now.timestamp() * 1000)))


def uuid7_hex(now: datetime) -> str:
    """The 32 hexadecimal digits of a `uuid7`, for where thousands are made at once."""
    return f"{_sequence.next(int(now.timestamp() * 1000)):032x}"


def least_hex(at: datetime) -> str:
    """Where in the order of `uuid7_hex` those of *at* begin; there are none before 1970."""
    return f"{max(int(at.timestamp() * 1000), 0):012x}".ljust(32, "0")
