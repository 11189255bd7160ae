"""The reading of requests: strict JSON, and nothing that a database could not keep."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import RequestEntityTooLarge

from api.problems import Unreadable, UnsupportedMediaType
from api.schemas.pages import ListQuerySchema
from shared.errors import Invalid
from shared.idempotency import HEADER, IdempotencyKey
from shared.kinds import flatten
from shared.pages import Paging

_DEEPEST = 64
_LONGEST_NUMBER = 30
_MOST_PARAMETERS = 50
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def body(schema: Schema, *, optional: bool = False) -> Any:
    """What *schema* makes of the body. Raises `Invalid`, naming each field that is wrong."""
    raw = _raw()
    if not raw and optional:
        return _loaded(schema, {})
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
    value = _parsed(raw)
    if not isinstance(value, dict):
        raise Invalid({"body": ["Give a JSON object."]})
    unstorable = {path: ["Remove the NUL or lone surrogate."] for path in _unstorable(value)}
    if unstorable:
        raise Invalid(unstorable)
    return _loaded(schema, value)


@lru_cache(maxsize=1024)
def query(schema: type[ListQuerySchema], raw: bytes) -> tuple[Mapping[str, Any], Paging]:
    """The filters and the page that a query string asks for; both are shared, so leave them be."""
    instance = schema()
    asked = _loaded(instance, _parameters(instance, raw))
    sort = asked.pop("sort", None)
    if sort is not None:
        name, _, way = sort.partition(",")
        sort = name, way == "desc"
    return asked, Paging(asked.pop("page"), asked.pop("size"), sort)


def idempotency_key() -> IdempotencyKey | None:
    """The key that came with the request, bound to what the request asks for."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    return IdempotencyKey.of(key, request.method.encode(), request.path.encode(), _raw())


def if_match() -> int | None:
    """The version that the request insists on. Raises `Invalid` if it is no tag of ours."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    tag = header.strip().removeprefix("W/").strip('"')
    if not (tag.isascii() and tag.isdigit() and len(tag) < 10):
        raise Invalid({"If-Match": ['Send one ETag as an answer had it, such as "3".']})
    return int(tag)


def _raw() -> bytes:
    """The body. Raises `RequestEntityTooLarge`."""
    raw = request.get_data()
    most = request.max_content_length
    # Of one that comes in chunks nobody knows how much would follow.
    if request.content_length is None and most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    return raw


def _loaded(schema: Schema, value: Any) -> Any:
    try:
        return schema.load(value)
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {"body": error.messages}
        named = {
            "body" if name == "_schema" else str(name): says for name, says in messages.items()
        }
        raise Invalid({name: flatten(says) for name, says in named.items()}) from None


def _parsed(raw: bytes) -> Any:
    try:
        text = raw.decode()
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        _check_depth(value)
    except UnicodeDecodeError:
        raise Unreadable("The body is not UTF-8.") from None
    except RecursionError:
        raise Unreadable(f"The body is nested more than {_DEEPEST} levels deep.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The body is not JSON: {error}.") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"The body names {twice[:64]!r} twice.")
    return members


def _constant(text: str) -> Any:
    raise ValueError(f"The body is not JSON: it has no {text}.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"The number {text[:_LONGEST_NUMBER]} is too large.")
    return number


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"A number has more than {_LONGEST_NUMBER} digits.")
    return int(text)


def _check_depth(value: Any, levels: int = _DEEPEST) -> None:
    if not levels:
        raise RecursionError
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        if isinstance(each, dict | list):
            _check_depth(each, levels - 1)


def _unstorable(value: Any, path: str = "") -> Iterator[str]:
    """Where there is text that one of the databases would refuse."""
    match value:
        case str() if not _storable(value):
            yield path or "body"
        case list():
            for index, each in enumerate(value):
                yield from _unstorable(each, f"{path}.{index}" if path else str(index))
        case dict():
            for name, each in value.items():
                if not _storable(name):
                    yield path or "body"
                yield from _unstorable(each, f"{path}.{name}" if path else name)


def _storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def _parameters(schema: Schema, raw: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise Unreadable("The query string is not readable.") from None
    repeatable = {
        field.data_key for field in schema.fields.values() if isinstance(field, fields.List)
    }
    values: dict[str, Any] = {}
    for name, value in pairs:
        if not _storable(name + value):
            raise Invalid({name if _storable(name) else "query": ["Remove the NUL."]})
        if name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Invalid({name: ["Give it once."]})
        else:
            values[name] = value
    return values
