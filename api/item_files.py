"""The items of a batch, read from a file line by line: JSON Lines, or CSV (RFC 4180).

A line that is wrong is named by its number, counted from 1 as editors do. The mistakes of a file
are gathered, as many as a person would read, before it is refused.
"""

import csv
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from api import item_records, strict_json
from api.item_records import SHOWN, WrongLine, shortened
from api.problems import Unreadable
from api.schemas.schedules import LONGEST_MESSAGE
from shared.batches.submission import Item
from shared.errors import Invalid

# Longer than any line that holds one message of the longest, and what belongs to it.
LONGEST_LINE = 1024 * 1024
_MOST_MISTAKES = 20
_BOM = b"\xef\xbb\xbf"

csv.field_size_limit(LONGEST_MESSAGE)


def items(
    pieces: Iterable[bytes], *, is_csv: bool, template: str | None, delimiter: str, most: int
) -> Iterator[Item]:
    """The items in a file that comes in *pieces*, at most *most* of them.

    *template* makes each message of the columns of a CSV, or the members of a line of JSON; without
    one they have a `message`. Raises `Invalid`, when all has been read, if a line is wrong.
    """
    if template is not None:
        item_records.check_template(template)
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
                item = item_records.item(record, template, is_csv=is_csv)
                keys.add(item.key, number)
            except WrongLine as error:
                yield {f"items.line {number}": [str(error)]}
            else:
                yield item
    except Invalid as error:
        # What follows cannot be read, but what was found before it still counts.
        yield error.fields


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
    there_are = ", ".join(shortened(name) for name in header[:SHOWN])
    if len(set(header)) < len(header) or not all(header):
        raise Invalid({f"items.line {number}": ["Each column needs a name of its own."]})
    hint = f" If columns are not parted by {delimiter!r}, say so: `delimiter`."
    named = set(header)
    for name in ["message"] if template is None else item_records.wanted(template):
        if name not in named:
            says = f"There is no column {shortened(name)}; there are {there_are}."
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
