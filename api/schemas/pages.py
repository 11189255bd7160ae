"""Pages: what may be asked of a list, and what comes back."""

from functools import cache
from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from shared.fields import CamelSchema, described, text
from shared.listing import Listing
from shared.pages import DEFAULT_SIZE, LARGEST_SIZE


def page_size(default: int) -> fields.Integer:
    """How many entries a page has."""
    return fields.Integer(
        load_default=default,
        validate=validate.Range(1, LARGEST_SIZE, error=f"Give a number from 1 to {LARGEST_SIZE}."),
        error_messages={"invalid": "Give a whole number.", "too_large": "Give a smaller number."},
        metadata=described("How many entries a page has."),
    )


class ListQuerySchema(CamelSchema):
    """Which page of a list, in which order."""

    listing: ClassVar[Listing]

    page = fields.Integer(
        load_default=0,
        validate=validate.Range(0, 1_000_000, error="Give a number from 0 to 1,000,000."),
        error_messages={"invalid": "Give a whole number.", "too_large": "Give a smaller number."},
        metadata=described("The page, counted from 0."),
    )
    size = page_size(DEFAULT_SIZE)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages |= {"unknown": "There is no such parameter."}


def sorted_by(listing: Listing) -> fields.String:
    """The order of a list, from an allow-list."""
    known = [f"{name}{way}" for name in listing.orders for way in ("", ",asc", ",desc")]
    return fields.String(
        validate=validate.OneOf(
            known, error=f"Give {', '.join(listing.orders)}, then `,asc` or `,desc`."
        ),
        metadata=described("The order: a name, then `,asc` or `,desc`. What is null comes last."),
    )


def searched(description: str) -> fields.String:
    """A text to search for."""
    return text(200, description)


@cache
def page_of(schema: type[Schema]) -> type[Schema]:
    """The schema of a page of what *schema* describes."""
    name = schema.__name__.removesuffix("Schema")
    members = {
        "content": fields.List(
            fields.Nested(schema), metadata=described("The entries of this page, in order.")
        ),
        "number": fields.Integer(metadata=described("The page's number, counted from 0.")),
        "size": fields.Integer(metadata=described("How many entries a page has at most.")),
        "totalElements": fields.Integer(metadata=described("How many entries there are.")),
        "totalPages": fields.Integer(metadata=described("How many pages there are.")),
    }
    return type(f"{name}PageSchema", (Schema,), {**members, "__doc__": f"A page of {name}."})
