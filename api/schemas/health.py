"""What /healthz and /readyz answer."""

from marshmallow import Schema, fields

from shared.findings import Status


class AliveSchema(Schema):
    """This process answers."""

    status = fields.String(metadata={"enum": ["ok"]})


class CheckSchema(Schema):
    """What one check came to."""

    status = fields.Enum(Status, by_value=True)
    says = fields.String()


class ReadySchema(Schema):
    """What all checks came to."""

    status = fields.String(metadata={"enum": ["ready", "not ready"]})
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema))
