"""What /healthz and /readyz answer."""

from marshmallow import Schema, fields

from api.figures import COUNTS, FIGURES
from shared.findings import Status
from shared.wire import camel


class AliveSchema(Schema):
    """This process answers."""

    status = fields.String(metadata={"enum": ["ok"]})


class CheckSchema(Schema):
    """What one check came to."""

    status = fields.Enum(Status, by_value=True)
    says = fields.String()


CountsSchema = Schema.from_dict(
    {
        camel(each): fields.Integer(metadata={"description": meaning})
        for each, meaning in COUNTS.items()
    },
    name="CountsSchema",
)
VitalsSchema = Schema.from_dict(
    {
        **{
            camel(each.name): fields.Float(allow_none=True, metadata={"description": each.meaning})
            for each in FIGURES
        },
        "counts": fields.Nested(CountsSchema),
    },
    name="VitalsSchema",
)


class ReadySchema(Schema):
    """What all checks came to; without vitals where the database could not be asked for them."""

    status = fields.String(metadata={"enum": ["ready", "not ready"]})
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema))
    vitals = fields.Nested(VitalsSchema, allow_none=True)
