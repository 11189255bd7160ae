"""What is kept of an output: its beginning and its end, within a limit."""

import codecs
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

# PostgreSQL refuses a text that holds one of these, and so does every system call.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
UNFIT = "\N{REPLACEMENT CHARACTER}"
# So many times the limit is not an answer any more, it is a program gone wild.
FLOOD = 64


class Output:
    """Text that arrives as bytes; however much comes, memory holds about *limit* bytes of it.

    Beyond the limit the first three quarters and the last are kept, and a marker between them
    says how much is missing.
    """

    def __init__(self, limit: int) -> None:
        self._tail_size = max(1, limit // 4)
        self._head_size = limit - self._tail_size
        self._head, self._tail = bytearray(), bytearray()
        self._size = 0
        self._arrived = 0
        self._flood = FLOOD * limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def flooded(self) -> bool:
        """Whether so much has arrived that its sender had better be stopped."""
        return self._arrived > self._flood

    def feed(self, chunk: bytes) -> None:
        """Take in what has arrived."""
        self._arrived += len(chunk)
        self._keep(self._decoder.decode(chunk))

    def text(self) -> str:
        """All that was kept; nothing can be fed any more."""
        self._keep(self._decoder.decode(b"", final=True))
        if self._size <= self._head_size + self._tail_size:
            return (self._head + self._tail).decode()
        head = self._head.decode(errors="ignore")
        tail = self._tail[-self._tail_size :].decode(errors="ignore")
        cut = self._size - len(head.encode()) - len(tail.encode())
        return f"{head}\n[… {cut:,} bytes cut …]\n{tail}"

    def _keep(self, text: str) -> None:
        data = text.replace("\0", UNFIT).encode()
        self._size += len(data)
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_size:
            del self._tail[: -self._tail_size]


def cap(text: str, limit: int) -> str:
    """*text* within *limit* bytes, and without what PostgreSQL cannot store."""
    text = UNSTORABLE.sub(UNFIT, text)
    if len(text) <= limit // 4:  # No character takes more bytes than that.
        return text
    output = Output(limit)
    output.feed(text.encode())
    return output.text()


def storable(value: Any) -> Any:
    """*value*, which must be JSON, without what PostgreSQL cannot store. Raises `TypeError`."""
    match value:
        case str():
            return UNSTORABLE.sub(UNFIT, value)
        case None | bool() | int():
            return value
        case float() if isfinite(value):
            return value
        case Mapping():
            return {storable(str(name)): storable(each) for name, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
    raise TypeError(f"{type(value).__name__} is not JSON.")
