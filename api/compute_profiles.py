"""/compute-profiles: the machines that batches may use."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from flask.views import MethodView

from api import access, examples, reading, work
from api.blueprint import Blueprint
from api.rendering import Renderer
from api.schemas.compute import (
    NewProfileSchema,
    ProfileQuerySchema,
    ProfileSchema,
    ReplacedProfileSchema,
)
from api.schemas.pages import page_of
from shared import audit, compute, db
from shared.audit import Changes
from shared.errors import Invalid
from shared.pages import Paging
from shared.states import Role

blp = Blueprint("compute profiles", writes=Role.ADMIN, says="The machines that batches may use.")
PROFILE = Renderer(ProfileSchema, compute.PROFILES)


@blp.route("")
class Profiles(MethodView):
    """All compute profiles."""

    @blp.query(ProfileQuerySchema)
    @blp.answers(200, page_of(ProfileSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List compute profiles

        By id, unless `sort` says otherwise.
        """
        return PROFILE.page(compute.page(filters, paging))

    @blp.body(NewProfileSchema, example=examples.NEW_PROFILE)
    @blp.answers(201, ProfileSchema, example=examples.PROFILE)
    def post(self, fields: dict[str, Any]) -> Response:
        """Make a compute profile

        Then start workers for it, with `AGENT_MANAGER_COMPUTE` set to its id.
        """
        profile_id = fields.pop("id")
        with db.transaction():
            compute.create(profile_id, fields, now=work.now())
            _record("create", profile_id, audit.made(fields))
            row = compute.get(profile_id)
        return PROFILE.tagged(row, 201, {"Location": f"/api/v1/compute-profiles/{profile_id}"})


@blp.route("/<slug:profile_id>")
class Profile(MethodView):
    """One compute profile."""

    @blp.answers(200, ProfileSchema, example=examples.PROFILE)
    def get(self, profile_id: str) -> Response:
        """Get a compute profile"""
        return PROFILE.tagged(compute.get(profile_id))

    @blp.body(ReplacedProfileSchema, example=examples.NEW_PROFILE)
    @blp.answers(200, ProfileSchema, example=examples.PROFILE)
    def put(self, fields: dict[str, Any], profile_id: str) -> Response:
        """Replace a compute profile

        What is not named stays as it is. Batches that exist keep to what was said when they were
        submitted, the price included.
        """
        if fields.pop("id", profile_id) != profile_id:
            raise Invalid({"id": ["A compute profile keeps its id."]})
        with db.transaction():
            profile = compute.locked(profile_id, version=reading.if_match())
            changes = compute.change(profile, fields, now=work.now())
            if changes:
                _record("update", profile_id, changes)
            row = compute.get(profile_id)
        return PROFILE.tagged(row)

    @blp.answers(204)
    def delete(self, profile_id: str) -> Response:
        """Delete a compute profile

        Only one that no batch is using.
        """
        with db.transaction():
            profile = compute.locked(profile_id, version=reading.if_match())
            compute.delete(profile, now=work.now())
            _record("delete", profile_id)
        return Response(status=204)


def _record(action: str, profile_id: str, changes: Changes | None = None) -> None:
    resource = ("compute_profile", profile_id)
    audit.record(access.principal(), f"compute_profile.{action}", resource, changes, now=work.now())
