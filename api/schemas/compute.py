"""Compute profiles."""

from typing import Any

from marshmallow import fields, pre_load

from api.schemas.pages import ListQuerySchema, sorted_by
from shared.compute import PROFILES
from shared.compute_schema import ProfileFieldsSchema
from shared.fields import described, instant, slug, without

READ_ONLY = frozenset({"version", "createdAt", "updatedAt"})


class NewProfileSchema(ProfileFieldsSchema):
    """A compute profile to be made. Its `id` is all it needs."""

    id = slug("Its id, of its maker's choosing.", "spot-large", required=True)


class ReplacedProfileSchema(ProfileFieldsSchema):
    """A compute profile to be replaced. What is not named stays as it is.

    What cannot be written may be sent back, and is ignored.
    """

    id = slug("Its id, which stays.", "spot-large")

    @pre_load
    def _without_what_is_read_only(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return without(READ_ONLY, data)


class ProfileSchema(NewProfileSchema):
    """The machines that a batch may use."""

    version = fields.Integer(metadata=described("How often it was saved; its `ETag`."))
    created_at = instant("When it was made.")
    updated_at = instant("When it was last saved.")

    class Meta:
        fields = (
            *("id", "queue", "description", "instance_type", "region", "vcpu", "memory_mb"),
            *("spot", "price_per_hour", "max_workers", "created_at", "updated_at", "version"),
        )


class ProfileQuerySchema(ListQuerySchema):
    """Which compute profiles."""

    listing = PROFILES

    sort = sorted_by(PROFILES)
    spot = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        error_messages={"invalid": "Give true or false."},
        metadata=described("Only spot machines, or only others."),
    )
