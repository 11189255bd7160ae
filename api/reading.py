"""The reading of requests: bodies, query strings, keys and versions."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from flask import request
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from api import strict_json, uploads
from api.problems import Unreadable, UnsupportedMediaType
from api.schemas.pages import ListQuerySchema
from shared.errors import Invalid
from shared.idempotency import HEADER, IdempotencyKey
from shared.kinds import flatten
from shared.pages import DEFAULT_SIZE, Paging

_MOST_PARAMETERS = 50
# Python's `int` reads more than this.
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)


def receive() -> None:
    """Receive the body before anything is held for its sender, who may be slow.

    Not that of a form, which is read as it comes.
    """
    if request.mimetype != uploads.MEDIA_TYPE:
        _raw()


def body(schema: Schema, *, optional: bool = False) -> Any:
    """What *schema* makes of the body. Raises `Invalid`, naming each field that is wrong."""
    raw = _raw()
    if not raw and optional:
        return _loaded(schema, {})
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
    value = strict_json.parse(raw)
    if not isinstance(value, dict):
        raise Invalid({"body": ["Give a JSON object."]})
    wrong = {path: ["Remove the NUL or lone surrogate."] for path in strict_json.unstorable(value)}
    if wrong:
        raise Invalid(wrong)
    return _loaded(schema, value)


def form(schema: Schema, texts: Mapping[str, str]) -> Any:
    """What *schema* makes of the *texts* of a form, which stand for numbers and flags as well."""
    named = {str(field.data_key): field for field in schema.fields.values()}
    values = {name: _typed(named.get(name), text) for name, text in texts.items()}
    try:
        return _loaded(schema, values)
    except Invalid as error:
        # The file is read as it comes, so what follows it is not known yet.
        missing = error.fields.keys() & named.keys() - values.keys()
        says = {name: ["Must be given, before the file."] for name in missing}
        raise Invalid({**error.fields, **says}) from None


@lru_cache(maxsize=1024)
def query(schema: type[ListQuerySchema], raw: bytes) -> tuple[Mapping[str, Any], Paging]:
    """The filters and the page that a query string asks for; both are shared, so leave them be."""
    instance = schema()
    asked = _loaded(instance, _parameters(instance, raw))
    sort = asked.pop("sort", None)
    if sort is not None:
        name, _, way = sort.partition(",")
        sort = name, way == "desc"
    number, size = asked.pop("page", 0), asked.pop("size", DEFAULT_SIZE)
    return asked, Paging(number, size, sort)


def idempotency_key(asked: bytes | None = None) -> IdempotencyKey | None:
    """The key that came with the request, bound to what the request asks for.

    That is in its body, unless *asked* stands for it.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    asked = _raw() if asked is None else asked
    return IdempotencyKey.of(key, request.method.encode(), request.path.encode(), asked)


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
    try:
        raw = request.get_data()
    except ClientDisconnected:
        raise Unreadable("The body broke off before its end.") from None
    most = request.max_content_length
    # Of one that comes in chunks nobody knows how much would follow.
    if request.content_length is None and most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    return raw


def _typed(field: fields.Field[Any] | None, text: str) -> Any:
    """*text* as JSON would have had it; what is no such thing is left for the schema to refuse."""
    text = text.strip() if isinstance(field, fields.Number | fields.Boolean) else text
    if isinstance(field, fields.Boolean):
        return {"true": True, "false": False}.get(text, text)
    if isinstance(field, fields.Number) and _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    return text


def _loaded(schema: Schema, value: Any) -> Any:
    try:
        return schema.load(value)
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {"body": error.messages}
        named = {
            "body" if name == "_schema" else str(name): says for name, says in messages.items()
        }
        raise Invalid({name: flatten(says) for name, says in named.items()}) from None


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
    numbers = {
        field.data_key for field in schema.fields.values() if isinstance(field, fields.Number)
    }
    values: dict[str, Any] = {}
    for name, value in pairs:
        if not strict_json.storable(name + value):
            raise Invalid({name if strict_json.storable(name) else "query": ["Remove the NUL."]})
        if name in numbers and not _WHOLE.fullmatch(value):
            raise Invalid({name: ["Give a whole number."]})
        if name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Invalid({name: ["Give it once."]})
        else:
            values[name] = value
    return values
