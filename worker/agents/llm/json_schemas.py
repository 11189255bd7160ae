"""JSON schemas of tools and answers: checked when they are saved, kept to when they are used."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from marshmallow import ValidationError

LARGEST = 64 * 1024
_DEEPEST = 20
_MOST_MISTAKES = 5
# Of what a schema comes to once all its references are followed.
_MOST_NODES = 5000


def of_an_object(schema: dict[str, Any]) -> None:
    """Raise `ValidationError` unless *schema* is a JSON schema of an object, and stands alone."""
    from jsonschema import Draft202012Validator, SchemaError

    if len(json.dumps(schema)) > LARGEST:
        raise ValidationError(f"Give a schema of at most {LARGEST:,} characters.")
    if schema.get("type") != "object":
        raise ValidationError('Give a JSON schema with "type": "object".')
    if _depth(schema) > _DEEPEST:
        raise ValidationError(f"Give a schema that is at most {_DEEPEST} levels deep.")
    for reference in _references(schema):
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            raise ValidationError("A $ref leads to #/$defs/… of the same schema.")
    if _expanded(schema, schema.get("$defs", {}), frozenset()) > _MOST_NODES:
        raise ValidationError("Give a schema that refers to less: no circle, no doubling.")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValidationError(f"This is no JSON schema: {error.message[:200]}.") from None


def mistakes(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with *value* by *schema*, in sentences for a model; None: nothing."""
    found = list(_first(_validator(json.dumps(schema)).iter_errors(value)))
    return " ".join(f"{each.json_path}: {each.message[:200]}." for each in found) or None


def _first(errors: Iterator[Any]) -> Iterator[Any]:
    for _, error in zip(range(_MOST_MISTAKES), errors, strict=False):
        yield error


_TOO_DEAR = dict.fromkeys(("pattern", "patternProperties", "uniqueItems"))


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry

    # These could take for ever, with all of this process waiting for it; the model knows them.
    kind = validators.extend(Draft202012Validator, _TOO_DEAR)
    # The registry knows nothing, so nothing is fetched.
    return kind(json.loads(schema), registry=Registry())


def _expanded(value: Any, defs: Any, within: frozenset[str]) -> int:
    """How many nodes *value* has with its references followed; soon too many, if in a circle."""
    count, waiting = 0, [(value, within)]
    while waiting and count <= _MOST_NODES:
        each, names = waiting.pop()
        count += 1
        if isinstance(each, list):
            waiting += [(inner, names) for inner in each]
        elif isinstance(each, dict):
            waiting += [(inner, names) for name, inner in each.items() if name != "$defs"]
            name = str(each.get("$ref", "")).removeprefix("#/$defs/")
            if name in names:
                return _MOST_NODES + 1
            if isinstance(defs, dict) and name in defs:
                waiting.append((defs[name], names | {name}))
    return count


def _depth(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
    return 0


def _references(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            yield from (value[name] for name in ("$ref", "$dynamicRef") if name in value)
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)
