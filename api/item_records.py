"""The item that one record makes: a row of a CSV, or an object of JSON; perhaps by a template."""

import re
from collections.abc import Mapping
from typing import Any

from api import strict_json
from api.schemas.schedules import LONGEST_MESSAGE
from shared.batches.submission import Item
from shared.errors import Invalid

LONGEST_KEY, LARGEST_METADATA = 255, LONGEST_MESSAGE
# It ends where another begins, so that no text takes longer to search than it is long.
_PLACEHOLDER = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_TOO_LONG = f"Its message is longer than {LONGEST_MESSAGE:,} bytes."
#: So much of a name is shown.
SHOWN = 64


class WrongLine(Exception):
    """A line is no item; says why."""


def item(record: Mapping[str, Any], template: str | None, *, is_csv: bool) -> Item:
    """The item that *record* makes: by *template*, if there is one. Raises `WrongLine`."""
    if is_csv or template is not None:
        return _checked(_made_of(record, template))
    unknown = record.keys() - {"key", "message", "metadata"}
    if unknown:
        raise WrongLine(f"It has {shortened(min(unknown))}; there are key, message and metadata.")
    return _checked(_item_of(record))


def _item_of(record: Mapping[str, Any]) -> Item:
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


def _checked(item: Item) -> Item:
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
            raise WrongLine(f"It has no {shortened(name)}, which the template wants.")
        shown = _shown(record[name])
        room -= len(shown)
        if room < 0:
            # A long value that is wanted a thousand times would not fit into memory.
            raise WrongLine(_TOO_LONG)
        return shown

    return _PLACEHOLDER.sub(value, template)


def check_template(template: str) -> None:
    """Raises `Invalid` if *template* begins a placeholder that does not end."""
    at = _PLACEHOLDER.sub(lambda found: " " * len(found[0]), template).find("{{")
    if at >= 0:
        says = f"{shortened(template[at:])} begins a placeholder that does not end with '}}}}'."
        raise Invalid({"template": [says]})


def wanted(template: str) -> list[str]:
    """The names that *template* wants."""
    return [name.strip() for name in _PLACEHOLDER.findall(template)]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else strict_json.written(value)


def shortened(name: str) -> str:
    """As much of *name* as is shown, quoted."""
    return repr(name[:SHOWN])
