"""What can be said of a compute profile, over HTTP and in the file that operators keep."""

from decimal import Decimal

from marshmallow import fields, validate

from shared.fields import CamelSchema, amount, described, flag, number, real, slug, text

DEAREST = Decimal(100_000)


class ProfileFieldsSchema(CamelSchema):
    """What can be written of a compute profile."""

    queue = slug("The queue of its workers; by default called as the profile is.", "spot-large")
    description = fields.String(
        validate=validate.Length(max=10_000, error="Give at most 10,000 characters."),
        metadata=described("What it is for."),
    )
    instance_type = text(100, "What its provider calls the machine.", "m7i.large", allow_none=True)
    region = text(100, "Where the machine is.", "eu-central-1", allow_none=True)
    vcpu = real(0.001, 100_000, "Its virtual processors.", allow_none=True)
    memory_mb = number(1, 100_000_000, "Its memory, in MiB.", allow_none=True)
    spot = flag("Whether it may be taken away at short notice.")
    price_per_hour = amount(
        Decimal(0),
        DEAREST,
        "What a machine costs an hour, in US dollars; null: nobody knows.",
        allow_none=True,
    )
    max_workers = number(
        1, 100_000, "How many workers to ask for, at most; null: any number.", allow_none=True
    )
