"""What all schemas have in common: camelCase, nothing unknown, fields that take no liberties."""

from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, cast

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from shared.wire import camel

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
SLUG = r"[a-z0-9][a-z0-9_-]{0,63}"
_LONGEST_INSTANT = 40
_BEYOND_ROUNDING = Decimal(10) ** 15


class CamelSchema(Schema):
    """A JSON object whose names are the attributes' in camelCase."""

    class Meta:
        unknown = RAISE

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages |= {
            "unknown": "There is no such field.",
            "type": "Give a JSON object.",
        }

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Spell the field as the wire does."""
        field_obj.data_key = camel(field_obj.data_key or field_name)


class Flag(fields.Boolean):
    """True or false, and nothing that resembles them."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Give true or false.")
        return value


class Real(fields.Float):
    """A number, and no text that resembles one."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> float:
        return float(_number(value))


class Amount(fields.Decimal):
    """An amount of money, exact to a millionth; a number on the wire."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        amount = Decimal(str(_number(value)))
        # What has so many digits that it cannot be rounded is out of any bounds.
        return round(amount, 6) if abs(amount) < _BEYOND_ROUNDING else amount


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValidationError("Give a number.")
    return value


class Instant(fields.AwareDateTime):
    """An instant: ISO 8601 with its offset from UTC; written in UTC with a Z."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        wanted = ValidationError("Give an instant with its offset, such as 2027-01-31T08:00:00Z.")
        if not isinstance(value, str) or len(value) > _LONGEST_INSTANT:
            raise wanted
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise wanted from None
        if instant.tzinfo is None:
            raise wanted
        if not EARLIEST <= instant < LATEST:
            raise ValidationError(f"Give an instant from {EARLIEST.year} to {LATEST.year - 1}.")
        return instant.astimezone(UTC)

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else written(cast(datetime, value))


def without(names: Set[str], data: dict[str, Any]) -> dict[str, Any]:
    """*data* without those members."""
    return {name: value for name, value in data.items() if name not in names}


def written(instant: datetime) -> str:
    """*instant* as the wire has it: without the zeros at the end of its fraction."""
    text = instant.astimezone(UTC).isoformat().removesuffix("+00:00")
    return f"{text.rstrip('0') if instant.microsecond else text}Z"


def described(description: str, example: Any = None) -> dict[str, Any]:
    """What the documentation says of a field."""
    return {"description": description} | ({} if example is None else {"example": example})


def text(longest: int, description: str, example: Any = None, **options: Any) -> fields.String:
    """A text that is not blank."""
    return fields.String(
        validate=[
            validate.Length(1, longest, error=f"Give a text of 1 to {longest:,} characters."),
            _not_blank,
        ],
        error_messages=_says("Give a text."),
        metadata=described(description, example),
        **options,
    )


def slug(description: str, example: str, **options: Any) -> fields.String:
    """An id of its maker's choosing."""
    return fields.String(
        validate=validate.Regexp(
            rf"^{SLUG}\Z",
            error="Give 1 to 64 small letters, digits, - and _, beginning with no - or _.",
        ),
        error_messages={"required": "Must be given.", "null": "Must not be null."},
        metadata=described(description, example),
        **options,
    )


def number(low: int, high: int, description: str, **options: Any) -> fields.Integer:
    """A whole number within bounds."""
    sentence = f"Give a whole number from {low:,} to {high:,}."
    return fields.Integer(
        strict=True,
        validate=validate.Range(low, high, error=sentence),
        error_messages=_says(sentence) | {"too_large": sentence},
        metadata=described(description),
        **options,
    )


def real(low: float, high: float, description: str, **options: Any) -> Real:
    """A number within bounds."""
    return Real(**_between(low, high, description), **options)


def amount(low: Decimal, high: Decimal, description: str, **options: Any) -> Amount:
    """An amount of US dollars within bounds."""
    between = _between(low, high, description)
    # The documentation is JSON, where a `Decimal` would be a text.
    between["metadata"] |= {"minimum": float(low), "maximum": float(high)}
    return Amount(**between, **options)


def _between(low: object, high: object, description: str) -> dict[str, Any]:
    sentence = f"Give a number from {low:,} to {high:,}."
    return {
        "validate": validate.Range(low, high, error=sentence),
        "error_messages": _says(sentence),
        "metadata": described(description),
    }


def choice(kind: type[Any], description: str, **options: Any) -> fields.Enum[Any]:
    """One of the values of an enumeration."""
    sentence = f"Give one of {', '.join(each.value for each in kind)}."
    return fields.Enum(
        kind,
        by_value=True,
        error_messages=_says(sentence) | {"unknown": sentence},
        metadata=described(description),
        **options,
    )


def flag(description: str, **options: Any) -> Flag:
    """True or false."""
    return Flag(
        metadata=described(description), error_messages=_says("Give true or false."), **options
    )


def instant(description: str, example: str | None = None, **options: Any) -> Instant:
    """An instant."""
    return Instant(metadata=described(description, example), **options)


def uuid(description: str, **options: Any) -> fields.UUID:
    """A UUID."""
    return fields.UUID(
        metadata=described(description),
        error_messages=_says("Give a UUID.") | {"invalid_uuid": "Give a UUID."},
        **options,
    )


def json_object(description: str, **options: Any) -> fields.Dict:
    """A JSON object of whatever content."""
    return fields.Dict(
        keys=fields.String(),
        metadata=described(description),
        error_messages=_says("Give a JSON object."),
        **options,
    )


def at_most_bytes(most: int) -> Callable[[str], None]:
    """A check that a text is not longer than *most* bytes of UTF-8."""

    def check(value: str) -> None:
        if len(value.encode("utf-8", "surrogatepass")) > most:
            raise ValidationError(f"Give at most {most:,} bytes of text.")

    return check


def _not_blank(value: str) -> None:
    if not value.strip():
        raise ValidationError("Must not be blank.")


def _says(kind: str) -> dict[str, Any]:
    messages: Mapping[str, Any] = {"required": "Must be given.", "null": "Must not be null."}
    return {**messages, "invalid": kind, "invalid_utf8": kind, "type": kind}
