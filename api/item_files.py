"""The items of a batch, read from a file line by line: JSON Lines, or CSV (RFC 4180).

A line that is wrong is named by its number, counted from 1 as editors do. The mistakes of a file
are gathered, as many as a person would read, before it is refused.
"""

import csv
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from api import strict_json
from api.problems import Unreadable
from api.schemas.schedules import LONGEST_MESSAGE
from shared.errors import Invalid
from shared.submission import Item

LONGEST_KEY, LARGEST_METADATA = 255, 64 * 1024
# Longer than any line that holds one message of the longest, and what belongs to it.
LONGEST_LINE = 1024 * 1024
_MOST_MISTAKES = 20
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_BOM = b"\xef\xbb\xbf"

# A line's number, and what it says by its names.
Record = tuple[int, Mapping[str, Any]]
# What makes the message, and what the message does not say, of a record.
Make = Callable[[Mapping[str, Any]], Item]

csv.field_size_limit(LONGEST_MESSAGE)


class WrongLine(Exception):
    """A line is no item; says why."""


def items(
    pieces: Iterable[bytes], *, is_csv: bool, template: str | None, delimiter: str, most: int
) -> Iterator[Item]:
    """The items in a file that comes in *pieces*, at most *most* of them.

    *template* makes each message of the columns of a CSV, or the members of a line of JSON; without
    one they have a `message`. Raises `Invalid`, when all has been read, if a line is wrong.
    """
    lines = _lines(pieces)
    records = _csv_records(lines, delimiter, template) if is_csv else _json_records(lines)
    mistakes: dict[str, list[str]] = {}
    count = 0
    with closing(_Keys()) as keys:
        for number, record in records:
            try:
                if isinstance(record, WrongLine):
                    raise record
                item = _item(record, template, is_csv=is_csv)
                keys.add(item.key, number)
            except WrongLine as error:
                mistakes[f"items.line {number}"] = [str(error)]
                if len(mistakes) >= _MOST_MISTAKES:
                    break
                continue
            count += 1
            if count > most:
                raise Invalid({"items": [f"Send at most {most:,} items in one batch."]})
            if not mistakes:
                yield item
    if mistakes:
        raise Invalid(mistakes)
    if not count:
        raise Invalid({"items": ["There is no item in the file."]})


def check_item(item: Item) -> Item:
    """*item*, if it is one that a batch can have. Raises `WrongLine`."""
    if item.key is not None and not 0 < len(item.key) <= LONGEST_KEY:
        raise WrongLine(f"Give a key of 1 to {LONGEST_KEY} characters, or none.")
    if not item.message.strip():
        raise WrongLine("Its message is blank.")
    if len(item.message.encode("utf-8", "surrogatepass")) > LONGEST_MESSAGE:
        raise WrongLine(f"Its message is longer than {LONGEST_MESSAGE:,} bytes.")
    if any(strict_json.unstorable([item.key or "", item.message, item.metadata])):
        raise WrongLine("Remove the NUL or lone surrogate from it.")
    if item.metadata and len(strict_json.written(item.metadata)) > LARGEST_METADATA:
        raise WrongLine(f"Its metadata are longer than {LARGEST_METADATA:,} characters.")
    return item


class _Keys:
    """The keys that were seen, and on which line: on disk, for there may be a million."""

    def __init__(self) -> None:
        self._seen = sqlite3.connect("", isolation_level=None)
        self._seen.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line) WITHOUT ROWID")
        self._seen.execute("BEGIN")

    def add(self, key: str | None, number: int) -> None:
        """Note *key*. Raises `WrongLine` if it was seen before."""
        if key is None:
            return
        try:
            self._seen.execute("INSERT INTO seen VALUES (?, ?)", (key, number))
        except sqlite3.IntegrityError:
            first = self._seen.execute("SELECT line FROM seen WHERE key = ?", (key,))
            (line,) = first.fetchone()
            says = f"It has the key of line {line}; keys are unique in a batch."
            raise WrongLine(says) from None

    def close(self) -> None:
        """Forget them."""
        self._seen.close()


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of what comes in *pieces*, with their ends. Raises `Invalid` on an endless one."""
    rest, number = b"", 0
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield (line.removeprefix(_BOM) if number == 1 else line) + b"\n"
        if len(rest) > LONGEST_LINE:
            says = f"It is longer than {LONGEST_LINE:,} bytes."
            raise Invalid({f"items.line {number + 1}": [says]})
    if rest:
        yield rest.removeprefix(_BOM) if not number else rest


def _json_records(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = strict_json.parse(line, what="It")
        except Unreadable as error:
            yield number, WrongLine(error.description or "It is not JSON.")
            continue
        yield number, value if isinstance(value, dict) else WrongLine("Give a JSON object.")


def _csv_records(
    lines: Iterable[bytes], delimiter: str, template: str | None
) -> Iterator[tuple[int, Any]]:
    row_lines = _Rows(lines)
    reader = csv.reader(row_lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        row_lines.begin()
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            # What follows cannot be told apart any more.
            raise Invalid({f"items.line {number}": [f"It is not CSV: {error}."]}) from None
        if row is None:
            return
        if header is None:
            header = _header(row, delimiter, template)
        elif not row:
            continue
        elif len(row) != len(header):
            says = f"It has {len(row)} columns, and the first line has {len(header)}."
            yield number, WrongLine(says)
        else:
            yield number, dict(zip(header, row, strict=True))


def _header(row: list[str], delimiter: str, template: str | None) -> list[str]:
    header = [name.strip() for name in row]
    there_are = ", ".join(map(repr, header))
    if len(set(header)) < len(header) or not all(header):
        raise Invalid({"items.line 1": ["Each column needs a name of its own."]})
    hint = f" If columns are not parted by {delimiter!r}, say so: `delimiter`."
    wanted = ["message"] if template is None else _PLACEHOLDER.findall(template)
    for name in wanted:
        if name not in header:
            says = f"There is no column {name!r}; there are {there_are}."
            field = "items.line 1" if template is None else "template"
            cure = " Name it so, or give a `template`." if template is None else ""
            raise Invalid({field: [says + cure + (hint if len(header) == 1 else "")]})
    return header


class _Rows:
    """Lines as text, of which one row may have only so many bytes."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = enumerate(lines, start=1)
        self._left = LONGEST_LINE

    def begin(self) -> None:
        """Begin with another row."""
        self._left = LONGEST_LINE

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self._left -= len(line)
        if self._left < 0:
            raise Invalid({f"items.line {number}": ["A quotation mark is never closed."]})
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise Invalid({f"items.line {number}": ["It is not UTF-8."]}) from None


def _item(record: Mapping[str, Any], template: str | None, *, is_csv: bool) -> Item:
    if is_csv or template is not None:
        return check_item(_made_of(record, template))
    unknown = record.keys() - {"key", "message", "metadata"}
    if unknown:
        raise WrongLine(f"It has {min(unknown)!r}; there are key, message and metadata.")
    return check_item(item_of(record))


def item_of(record: Mapping[str, Any]) -> Item:
    """The item that a JSON object describes. Raises `WrongLine`."""
    key, message = record.get("key"), record.get("message")
    metadata = record.get("metadata", {})
    if not isinstance(message, str):
        raise WrongLine("Give it a text for a message.")
    if key is not None and not isinstance(key, str):
        raise WrongLine("Give it a text for a key, or none.")
    if not isinstance(metadata, dict):
        raise WrongLine("Give it a JSON object for metadata, or none.")
    return Item(key, message, metadata)


def _made_of(record: Mapping[str, Any], template: str | None) -> Item:
    """The item that *template* makes of *record*, whose other members are its metadata."""
    key = record.get("key")
    if isinstance(key, bool | dict | list):
        raise WrongLine("Give it a text for a key, or none.")
    text = None if key is None or key == "" else _shown(key)
    if template is None:
        metadata = {name: each for name, each in record.items() if name not in {"key", "message"}}
        return Item(text, str(record["message"]), metadata)
    metadata = {name: each for name, each in record.items() if name != "key"}
    return Item(text, fill(template, record), metadata)


def fill(template: str, record: Mapping[str, Any]) -> str:
    """*template* with each `{{ name }}` replaced by what *record* says. Raises `WrongLine`."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in record:
            raise WrongLine(f"It has no {name!r}, which the template wants.")
        return _shown(record[name])

    return _PLACEHOLDER.sub(value, template)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else strict_json.written(value)
