"""The blueprint that all resources use: a token, a role, a unit of work, and documentation."""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask.views import MethodView
from flask_smorest import Blueprint as SmorestBlueprint  # type: ignore[import-untyped]
from marshmallow import Schema

from api import access, reading, uploads, work
from api.schemas.pages import ListQuerySchema
from shared.states import Role

View = Callable[..., Response]
_SAFE = frozenset({"GET", "HEAD"})


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """A resource. *reads* and *writes* are the roles that its methods take."""

    def __init__(
        self, name: str, *, reads: Role = Role.VIEWER, writes: Role = Role.OPERATOR, says: str
    ) -> None:
        super().__init__(name, __name__, description=says)
        self._reads, self._writes = reads, writes

    def route(
        self, rule: str, *, writes: Role | None = None, **options: Any
    ) -> Callable[[type[MethodView]], type[MethodView]]:
        """Serve *rule* by a view, whose changes take the role *writes*."""
        register = super().route(rule, **options)

        def decorate(view: type[MethodView]) -> type[MethodView]:
            view.init_every_request = False
            view.decorators = [lambda serve: self._guarded(serve, writes or self._writes)]
            registered: type[MethodView] = register(view)
            return registered

        return decorate

    def _guarded(self, serve: View, writes: Role) -> View:
        @wraps(serve)
        def guarded(**path: Any) -> Response:
            token = access.bearer()
            reads = request.method in _SAFE
            if not reads:
                reading.receive()

            def admitted() -> Response:
                access.admit(token, self._reads if reads else writes)
                return serve(**path)

            return work.unit(admitted, reads=reads)

        return guarded

    def body(
        self,
        schema: type[Schema],
        *,
        optional: bool = False,
        example: Any = None,
        handed: bool = True,
    ) -> Callable[[View], View]:
        """Hand the view what *schema* makes of the body, unless it reads that itself."""
        loader = schema()
        parameter = {
            "in": "json",
            "required": not optional,
            "schema": loader,
        } | ({} if example is None else {"example": example})

        def decorate(view: View) -> View:
            @wraps(view)
            def reads_body(*args: Any, **path: Any) -> Response:
                return view(*args, reading.body(loader, optional=optional), **path)

            return _documented(reads_body if handed else view, parameter)

        return decorate

    def form(self, schema: type[Schema]) -> Callable[[View], View]:
        """Document that the view takes, instead of a body, a form that *schema* describes."""
        takes: Callable[[View], View] = self.doc(
            requestBody={"content": {uploads.MEDIA_TYPE: {"schema": schema}}}
        )
        return takes

    def query(self, schema: type[ListQuerySchema]) -> Callable[[View], View]:
        """Hand the view the filters and the page that the query string asks for."""

        def decorate(view: View) -> View:
            @wraps(view)
            def reads_query(*args: Any, **path: Any) -> Response:
                filters, paging = reading.query(schema, request.query_string)
                return view(*args, filters, paging, **path)

            return _documented(reads_query, {"in": "query", "schema": schema})

        return decorate

    def header(self, name: str, says: str, *, example: str) -> Callable[[View], View]:
        """Document a header that the view takes."""
        schema = {"type": "string", "example": example}
        parameter = {"in": "header", "name": name, "description": says, "schema": schema}
        return lambda view: _documented(view, parameter)

    def streams(self, *media_types: str) -> Callable[[View], View]:
        """Document that the view answers with text of one of *media_types*."""
        described = {"description": HTTPStatus.OK.phrase, "schema": {"type": "string"}}
        answers = [described | {"content_type": each} for each in media_types]
        return lambda view: _answered(view, HTTPStatus.OK.value, answers)

    def answers(
        self, status: int, schema: type[Schema] | None = None, *, example: Any = None
    ) -> Callable[[View], View]:
        """Document what the view answers; it renders that itself."""
        described = {"description": HTTPStatus(status).phrase}
        answer = described | ({"schema": schema} if schema else {})
        if example is not None:
            answer["example"] = example
        return lambda view: _answered(view, status, [answer | {"content_type": None}])


def _documented(view: View, parameter: dict[str, Any]) -> View:
    documentation = deepcopy(getattr(view, "_apidoc", {}))
    documentation.setdefault("arguments", {}).setdefault("parameters", []).append(parameter)
    view._apidoc = documentation  # type: ignore[attr-defined]
    return view


def _answered(view: View, status: int, answers: list[dict[str, Any]]) -> View:
    documentation = deepcopy(getattr(view, "_apidoc", {}))
    responses = documentation.setdefault("response", {}).setdefault("responses", {})
    responses.setdefault(status, []).extend(answers)
    documentation.setdefault("success_status_codes", []).append(status)
    view._apidoc = documentation  # type: ignore[attr-defined]
    return view
