"""Uploads: a form (multipart/form-data) of a few texts and, last, a file that is read as it comes.

Nothing is kept but what the caller keeps, so a file may be as large as the limit and takes no more
memory than a piece of it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.sansio.multipart import (
    NEED_DATA,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from api import strict_json
from api.problems import Unreadable
from shared.errors import Invalid

MEDIA_TYPE = "multipart/form-data"
_PIECE = 64 * 1024
_MOST_FIELDS = 50
_LONGEST_FIELDS = 512 * 1024
_LONGEST_HEADERS = 64 * 1024


@dataclass
class Upload:
    """A form whose fields have been read, and whose file is about to be."""

    fields: dict[str, str]
    filename: str
    media_type: str
    _parts: "_Parts"

    def pieces(self) -> Iterator[bytes]:
        """The file, piece by piece. Raises `Invalid` if something follows it in the form."""
        yield from self._parts.data()
        event = self._parts.next()
        if not isinstance(event, Epilogue):
            raise Invalid({getattr(event, "name", None) or "body": ["Put it before the file."]})

    def digest(self) -> bytes:
        """What stands for all that has been read, however its sender has cut it into parts."""
        return self._parts.digest()

    def drain(self) -> None:
        """Read what has not been read: a client that is still sending would not hear the answer."""
        self._parts.drain()


def receive(file: str, *, limit: int) -> Upload:
    """The upload whose file is the field *file*, of at most *limit* bytes in all.

    Raises `Unreadable` if it is none, `Invalid` if there is no such file.
    """
    request.max_content_length = limit
    boundary = request.mimetype_params.get("boundary", "")
    parts = _Parts(boundary.encode())
    try:
        if not boundary or not boundary.isascii():
            raise Unreadable("The form does not say where its parts begin: there is no boundary.")
        return _begun(parts, file)
    except Exception:
        parts.drain()
        raise


def _begun(parts: "_Parts", file: str) -> Upload:
    fields: dict[str, str] = {}
    room = _LONGEST_FIELDS
    while not isinstance(event := parts.next(), Epilogue):
        if not isinstance(event, File | Field):
            continue
        if event.name is None:
            raise Unreadable("A part of the form has no name.")
        if isinstance(event, File) and event.name == file:
            media_type = event.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Upload(fields, event.filename, media_type, parts)
        if event.name in fields:
            raise Invalid({event.name: ["Give it once."]})
        if isinstance(event, File):
            raise Invalid({event.name: [f"The one file to send is called {file!r}."]})
        if len(fields) >= _MOST_FIELDS:
            raise Invalid({event.name: [f"Give at most {_MOST_FIELDS} fields."]})
        raw = b""
        for piece in parts.data():
            raw += piece
            if len(raw) > room:
                says = f"All fields together may have {_LONGEST_FIELDS:,} bytes."
                raise Invalid({event.name: [says]})
        room -= len(raw)
        fields[event.name] = _text(event.name, raw)
    raise Invalid({file: ["Send it as a file, such as `-F items=@rows.csv` of curl does."]})


class _Parts:
    """The events of a form, as its bytes come in."""

    def __init__(self, boundary: bytes) -> None:
        self._decoder = MultipartDecoder(boundary)
        self._read = hashlib.sha256()
        self._whole = False

    def next(self) -> Event:
        """The next event that is one."""
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                # It keeps what it does not understand, such as headers, or what precedes a part.
                if len(self._decoder.buffer) > _LONGEST_HEADERS:
                    raise ValueError
                self._decoder.receive_data(self._piece())
        except ValueError:
            raise Unreadable("The form cannot be read: it is broken off, or badly put.") from None
        assert event is not NEED_DATA
        self._note(event)
        return event

    def data(self) -> Iterator[bytes]:
        """What is in the part that has just begun."""
        more = True
        while more:
            event = self.next()
            assert isinstance(event, Data)
            more = event.more_data
            if event.data:
                yield bytes(event.data)

    def digest(self) -> bytes:
        return self._read.digest()

    def drain(self) -> None:
        while self._piece() is not None:
            pass

    def _piece(self) -> bytes | None:
        if self._whole:
            return None
        try:
            piece = request.stream.read(_PIECE)
        except ClientDisconnected:
            self._whole = True
            raise Unreadable("The body broke off before its end.") from None
        self._whole = not piece
        return piece or None

    def _note(self, event: Event) -> None:
        match event:
            case Field(name=name) | File(name=name):
                self._read.update(f"\0{name}\0".encode("utf-8", "surrogatepass"))
            case Data(data=data):
                self._read.update(data)


def _text(name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Invalid({name: ["Give text in UTF-8."]}) from None
    if not strict_json.storable(text):
        raise Invalid({name: ["Remove the NUL."]})
    return text
