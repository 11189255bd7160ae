"""What the configurations of all kinds have in common."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from shared.placeholders import OPENING
from worker.agents.output import UNSTORABLE
from worker.agents.placeholders import well_formed

ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
# What we set ourselves, and what would load code into a program before it begins.
RESERVED_NAME = re.compile(r"AGENT_.*|LD_.*|DYLD_.*", re.IGNORECASE)

# As marshmallow types them.
Messages = dict[str, str | list[Any] | dict[Any, Any]]


class ConfigSchema(Schema):
    """A configuration; an option that there is not is refused with the names of those there are."""

    class Meta:
        unknown = RAISE

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        known = ", ".join(sorted(self.load_fields))
        self.error_messages |= {
            "unknown": f"There is no such option; there are {known}.",
            "type": "A configuration is a JSON object.",
        }


def says(kind: str, *, required: str = "") -> Messages:
    """The messages of a field: what it must be, and what to give when it is missing."""
    return {
        "required": required,
        "null": kind,
        "invalid": kind,
        "type": kind,
        "validator_failed": kind,
    }


def number(
    kind: type[fields.Field[Any]], low: float, high: float, **options: Any
) -> fields.Field[Any]:
    """A number field whose every message is its range."""
    sentence = f"Give a number from {Decimal(str(low)):,f} to {high:,}."
    messages = says(sentence, required=sentence) | {"special": sentence, "too_large": sentence}
    return kind(
        validate=validate.Range(low, high, error=sentence), error_messages=messages, **options
    )


def text(
    longest: int, *checks: Callable[[str], Any], required: str = "", **options: Any
) -> fields.String:
    """A text field: not empty, at most *longest* characters, none that no system call takes."""
    length = validate.Length(1, longest, error=f"Give a text of 1 to {longest:,} characters.")
    return fields.String(
        required=bool(required),
        validate=[length, storable, *checks],
        error_messages=says("Give a text.", required=required),
        **options,
    )


def flag(**options: Any) -> fields.Boolean:
    """A field that is true or false."""
    return fields.Boolean(
        truthy={True}, falsy={False}, error_messages=says("Give true or false."), **options
    )


def environment() -> fields.Dict:
    """A field for variables of a child's environment, which may hold secrets."""
    return fields.Dict(
        keys=text(128, environment_name),
        values=fields.String(
            validate=[
                storable,
                with_secrets,
                validate.Length(max=32_768, error="Give a value of at most 32,768 characters."),
            ],
            error_messages=says("Give a text."),
        ),
        load_default=dict,
        validate=validate.Length(max=100, error="Give at most 100 variables."),
        error_messages=says("Give an object of names and texts."),
    )


def storable(value: str) -> None:
    """Refuse the characters that neither a system call nor PostgreSQL takes."""
    if UNSTORABLE.search(value):
        raise ValidationError("Remove the NUL character or lone surrogate from the text.")


def without_secrets(value: str) -> None:
    """Refuse a placeholder where its secret would be shown around."""
    if OPENING in value:
        raise ValidationError("A secret would show here: hand it over in `env` or `headers`.")


def with_secrets(value: str) -> None:
    """Refuse a placeholder that no secret could ever fill."""
    if not well_formed(value):
        raise ValidationError(
            "Write a secret as ${secret:NAME}, with a name of letters, digits, _ and -."
        )


def environment_name(value: str) -> None:
    """Refuse a name that no variable can have, or that is ours to set."""
    if not ENVIRONMENT_NAME.fullmatch(value):
        raise ValidationError(
            "A variable's name is letters, digits and _, and begins with no digit."
        )
    if RESERVED_NAME.fullmatch(value):
        raise ValidationError(
            "Names that begin with AGENT_, LD_ or DYLD_ are reserved: choose another."
        )
