"""/healthz: is this process alive? /readyz: does the whole system do its job?"""

from typing import Any

from flask import Response
from flask.views import MethodView

from api.blueprint import Blueprint, View
from api.figures import FIGURES
from api.rendering import answer
from api.schemas.health import AliveSchema, ReadySchema
from api.services import services
from shared import clock, health
from shared.findings import FAIL
from shared.states import Role
from shared.vitals import Pulse
from shared.wire import camel


class OpenBlueprint(Blueprint):
    """A resource that takes no token, and answers without a database."""

    def takes_no_token(self, view: View) -> View:
        """Document that the view takes no token."""
        documented: View = self.doc(security=[])(view)
        return documented

    def _guarded(self, serve: View, writes: Role) -> View:
        return serve


blp = OpenBlueprint("health", says="Whether Agent Manager is well.")


@blp.route("/healthz")
class Alive(MethodView):
    """This process."""

    @blp.takes_no_token
    @blp.answers(200, AliveSchema)
    def get(self) -> Response:
        """Tell whether this process answers

        For whoever restarts it, or sends it requests. It looks at nothing.
        """
        return answer({"status": "ok"})


@blp.route("/readyz")
class Ready(MethodView):
    """The whole system."""

    @blp.takes_no_token
    @blp.answers(503, ReadySchema)
    @blp.answers(200, ReadySchema)
    def get(self) -> Response:
        """Tell whether the system does its job

        Database, Redis, ticks, workers: for whoever is to be called when something is wrong. The
        API itself works without Redis, schedulers and workers, so do not take it out of service for
        them. `vitals` are the figures of `/metrics` that take no counting.
        """
        findings, pulse = health.readiness(services().redis, clock.now)
        failed = any(each.status is FAIL for each in findings)
        checks = {each.name: {"status": each.status, "says": each.says} for each in findings}
        body = {
            "status": "not ready" if failed else "ready",
            "checks": checks,
            "vitals": None if pulse is None else _figures(pulse),
        }
        return answer(body, 503 if failed else 200)


def _figures(pulse: Pulse) -> dict[str, Any]:
    figures = {camel(each.name): each.read(pulse) for each in FIGURES}
    counts = {camel(each): number for each, number in pulse.counts.items()}
    return {**figures, "counts": counts}
