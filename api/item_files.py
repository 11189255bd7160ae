"""The items of a batch, read from a file line by line: JSON Lines, or CSV (RFC 4180).

A line that is wrong is named by its number, counted from 1 as editors do. The mistakes of a file
are gathered, as many as a person would read, before it is refused.
"""

import csv
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from api import strict_json
from api.problems import Unreadable
from api.schemas.schedules import LONGEST_MESSAGE
from shared.batches.submission import Item
from shared.errors import Invalid

LONGEST_KEY, LARGEST_METADATA = 255, LONGEST_MESSAGE
# Longer than any line that holds one message of the longest, and what belongs to it.
LONGEST_LINE = 1024 * 1024
_MOST_MISTAKES = 20
# It ends where another begins, so that no text takes longer to search than it is long.
_PLACEHOLDER = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_TOO_LONG = f"Its message is longer than {LONGEST_MESSAGE:,} bytes."
# So much of a name is shown.
_SHOWN = 64
_BOM = b"\xef\xbb\xbf"

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
    if template is not None:
        check_template(template)
    lines = _lines(pieces)
    records = _csv_records(lines, delimiter, template) if is_csv else _json_records(lines)
    mistakes: dict[str, list[str]] = {}
    count = 0
    with closing(_Keys()) as keys:
        for each in _judged(records, keys, template, is_csv=is_csv):
            if not isinstance(each, Item):
                mistakes |= each
                if len(mistakes) >= _MOST_MISTAKES:
                    break
                continue
            count += 1
            if count > most:
                mistakes["items"] = [f"Send at most {most:,} items in one batch."]
                break
            if not mistakes:
                yield each
    if mistakes:
        raise Invalid(mistakes)
    if not count:
        raise Invalid({"items": ["There is no item in the file."]})


def _judged(
    records: Iterable[tuple[int, Any]], keys: "_Keys", template: str | None, *, is_csv: bool
) -> Iterator[Item | Mapping[str, list[str]]]:
    """The item that each of *records* makes, or what is wrong with it."""
    try:
        for number, record in records:
            try:
                if isinstance(record, WrongLine):
                    raise record
                item = _item(record, template, is_csv=is_csv)
                keys.add(item.key, number)
            except WrongLine as error:
                yield {f"items.line {number}": [str(error)]}
            else:
                yield item
    except Invalid as error:
        # What follows cannot be read, but what was found before it still counts.
        yield error.fields


def check_item(item: Item) -> Item:
    """*item*, if it is one that a batch can have. Raises `WrongLine`."""
    if item.key is not None and not 0 < len(item.key) <= LONGEST_KEY:
        raise WrongLine(f"Give a key of 1 to {LONGEST_KEY} characters, or none.")
    if not item.message.strip():
        raise WrongLine("Its message is blank.")
    if len(item.message.encode("utf-8", "surrogatepass")) > LONGEST_MESSAGE:
        raise WrongLine(_TOO_LONG)
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
            yield _line(line, number) + b"\n"
        _line(rest, number + 1)
    if rest:
        yield _line(rest, number + 1)


def _line(line: bytes, number: int) -> bytes:
    if len(line) > LONGEST_LINE:
        raise Invalid({f"items.line {number}": [f"It is longer than {LONGEST_LINE:,} bytes."]})
    return line.removeprefix(_BOM) if number == 1 else line


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
        number = reader.line_num + 1
        row_lines.begin(number)
        try:
            row = next(reader, None)
        except csv.Error as error:
            # What follows cannot be told apart any more.
            raise Invalid({f"items.line {number}": [_not_csv(str(error))]}) from None
        if row is None:
            return
        if not row:
            continue
        if header is None:
            header = _header(row, number, delimiter, template)
        elif len(row) != len(header):
            says = f"It has {len(row)} columns, and the first line has {len(header)}."
            yield number, WrongLine(says)
        else:
            yield number, dict(zip(header, row, strict=True))


def _not_csv(says: str) -> str:
    """What the reader *says* is wrong, and the cure."""
    if says.startswith("new-line"):
        return "It has a CR without an LF: save the file with line ends of LF, or of CR and LF."
    if says.startswith("field larger"):
        says = f"It has a column of more than {LONGEST_MESSAGE:,} characters"
        return f"{says}; perhaps a quotation mark is never closed."
    return f"It is not CSV: {says}. Look at its quotation marks."


def _header(row: list[str], number: int, delimiter: str, template: str | None) -> list[str]:
    header = [name.strip() for name in row]
    there_are = ", ".join(_shortened(name) for name in header[:_SHOWN])
    if len(set(header)) < len(header) or not all(header):
        raise Invalid({f"items.line {number}": ["Each column needs a name of its own."]})
    hint = f" If columns are not parted by {delimiter!r}, say so: `delimiter`."
    wanted = ["message"] if template is None else _wanted(template)
    named = set(header)
    for name in wanted:
        if name not in named:
            says = f"There is no column {_shortened(name)}; there are {there_are}."
            field = f"items.line {number}" if template is None else "template"
            cure = " Name it so, or give a `template`." if template is None else ""
            raise Invalid({field: [says + cure + (hint if len(header) == 1 else "")]})
    return header


class _Rows:
    """Lines as text, of which one row takes another only while it has so many bytes at most."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = enumerate(lines, start=1)
        self.begin(1)

    def begin(self, number: int) -> None:
        """Begin with another row, on the line *number*."""
        self._row, self._left = number, LONGEST_LINE

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if self._left <= 0:
            raise Invalid({f"items.line {self._row}": ["A quotation mark is never closed."]})
        self._left -= len(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise Invalid({f"items.line {number}": ["It is not UTF-8."]}) from None


def _item(record: Mapping[str, Any], template: str | None, *, is_csv: bool) -> Item:
    if is_csv or template is not None:
        return check_item(_made_of(record, template))
    unknown = record.keys() - {"key", "message", "metadata"}
    if unknown:
        raise WrongLine(f"It has {_shortened(min(unknown))}; there are key, message and metadata.")
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
    room = LONGEST_MESSAGE

    def value(match: re.Match[str]) -> str:
        nonlocal room
        name = match[1].strip()
        if name not in record:
            raise WrongLine(f"It has no {_shortened(name)}, which the template wants.")
        shown = _shown(record[name])
        room -= len(shown)
        if room < 0:
            # A long value that is wanted a thousand times would not fit into memory.
            raise WrongLine(_TOO_LONG)
        return shown

    return _PLACEHOLDER.sub(value, template)


def check_template(template: str) -> None:
    """Raises `Invalid` if *template* begins a placeholder that does not end."""
    _, begins, rest = _PLACEHOLDER.sub("", template).partition("{{")
    if begins:
        says = f"{_shortened(begins + rest)} begins a placeholder that does not end with '}}}}'."
        raise Invalid({"template": [says]})


def _wanted(template: str) -> list[str]:
    return [name.strip() for name in _PLACEHOLDER.findall(template)]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else strict_json.written(value)


def _shortened(name: str) -> str:
    return repr(name[:_SHOWN])
