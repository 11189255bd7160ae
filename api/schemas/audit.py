"""The record of who did what."""

from marshmallow import fields

from api.schemas.pages import ListQuerySchema, sorted_by
from shared.audit import EVENTS
from shared.fields import CamelSchema, described, instant, text, uuid


class AuditEventSchema(CamelSchema):
    """Something that somebody did."""

    id = uuid("Its id; ids sort as time does.")
    at = instant("When.")
    actor = fields.String(metadata=described("The name of the token that was used."))
    token_id = uuid(
        "The id of that token; null: it is none of those that are listed.", allow_none=True
    )
    action = fields.String(metadata=described("What was done.", "schedule.update"))
    resource_type = fields.String(metadata=described("To what kind of thing.", "schedule"))
    resource_id = fields.String(metadata=described("To which."))
    changes = fields.Dict(
        metadata=described(
            "The fields that changed, from what to what.",
            {"cronExpression": {"from": "0 8 * * *", "to": "0 9 * * *"}},
        )
    )


class AuditQuerySchema(ListQuerySchema):
    """Which events."""

    listing = EVENTS

    sort = sorted_by(EVENTS)
    actor = text(200, "Only what this one did.")
    action = text(64, "Only this.", "schedule.update")
    resource_type = text(32, "Only what was done to this kind of thing.")
    resource_id = text(64, "Only what was done to this.")
    since = instant("Only what was done then or later.", data_key="from")
    until = instant("Only what was done before.", data_key="to")
