"""What the OpenAPI document says beyond the views: tokens, problems, keys and versions."""

from importlib.metadata import version
from typing import Any

from apispec import APISpec, BasePlugin
from flask import Flask
from flask_smorest import Api  # type: ignore[import-untyped]
from marshmallow import Schema, fields
from werkzeug.routing import BaseConverter

from api.problems import MEDIA_TYPE
from shared.fields import SLUG, described
from shared.idempotency import HEADER

PREFIX = "/api/v1"

_ABOUT = """Self-hosted cron for AI agents. Say which agent, what to tell it, and when.

Every call takes a token, as `Authorization: Bearer am_…`. A `viewer` reads, an `operator` also
changes schedules and agents and runs them, an `admin` may do all. Errors are problem details
(RFC 9457).
"""
_PROBLEMS = {
    400: "The body or the query string cannot be read.",
    401: "There is no token, or it is unknown, revoked or expired.",
    403: "The token's role does not include this.",
    404: "Nothing answers to that id.",
    409: "The thing is in a state that does not allow this.",
    412: "Somebody else changed it since the version that `If-Match` names.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    422: "Some values are wrong; `errors` maps each field to sentences.",
    503: "The database is away; try again.",
}
_HEADERS = {
    HEADER: "A key of your choosing: the same request with the same key is done once.",
    "If-Match": "The `ETag` that was read: nothing is changed if somebody else was faster.",
}
# The POSTs that make no work, and so take no key.
_KEYLESS = (
    "/agents",
    "/cancel",
    "/compute-profiles",
    "/continue",
    "/forecast",
    "/pause",
    "/preview",
    "/resume",
    "/tokens",
)


class SlugConverter(BaseConverter):
    """An id of its maker's choosing, in a path."""

    regex = SLUG


class ProblemSchema(Schema):
    """What is wrong (RFC 9457)."""

    type = fields.String(
        metadata=described("Always `about:blank`: the status says it.", "about:blank")
    )
    title = fields.String(metadata=described("The status, in words.", "Not Found"))
    status = fields.Integer(metadata=described("The status.", 404))
    detail = fields.String(metadata=described("What is wrong, in a sentence."))
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata=described("Of each field that is wrong, what is wrong with it."),
    )


class Completion(BasePlugin):
    """Adds to each operation the headers that it takes and the problems that it may answer."""

    def init_spec(self, spec: APISpec) -> None:
        """Describe what the operations will refer to."""
        spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
        spec.components.schema("Problem", schema=ProblemSchema)
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        for status, says in _PROBLEMS.items():
            response = {"description": says, "content": {MEDIA_TYPE: problem}}
            spec.components.response(f"Problem{status}", response)
        for name, says in _HEADERS.items():
            header = {"description": says, "schema": {"type": "string"}}
            spec.components.parameter(name, "header", header)

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Complete the operations on *path*."""
        if path is None or operations is None:
            return
        for operation in operations.values():
            # Smorest's word on errors, which are none of its own.
            operation.get("responses", {}).pop("default", None)
        if not path.startswith(PREFIX):
            return
        for method, operation in operations.items():
            body, named = "requestBody" in operation, "{" in path
            changes = method in {"put", "patch", "delete"} and "/tokens" not in path
            statuses = {401, 403, 503}
            statuses |= {404} if named else set()
            statuses |= {400, 413, 415, 422} if body else set()
            queried = any(each["in"] == "query" for each in operation.get("parameters", ()))
            statuses |= {400, 422} if queried else set()
            statuses |= {412} if changes else set()
            statuses |= {409} if method == "post" or changes else set()
            for status in sorted(statuses):
                operation.setdefault("responses", {})[str(status)] = f"Problem{status}"
            header = HEADER if method == "post" and not path.endswith(_KEYLESS) else None
            header = "If-Match" if changes else header
            if header is not None:
                operation.setdefault("parameters", []).append(header)


def make_api(app: Flask) -> Api:
    """The part of *app* that is documented, with its document at `/openapi.json`."""
    app.url_map.converters["slug"] = SlugConverter
    app.config.update(
        API_TITLE="Agent Manager",
        API_VERSION=version("agent-manager"),
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=PREFIX,
    )
    api = Api(
        app,
        spec_kwargs={
            "extra_plugins": [Completion()],
            "info": {"description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
            "security": [{"token": []}],
        },
    )
    api.register_converter(SlugConverter, lambda _: {"type": "string", "pattern": f"^{SLUG}$"})
    return api
