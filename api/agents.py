"""/agents: the registry of what can be run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from api import access, examples, making, reading, work
from api.blueprint import Blueprint
from api.rendering import Renderer
from api.runs import queued
from api.schemas.agents import (
    AgentQuerySchema,
    AgentSchema,
    NewAgentSchema,
    ReplacedAgentSchema,
)
from api.schemas.pages import page_of
from api.schemas.runs import NewRunSchema, QueuedSchema
from api.services import services
from shared import agents, audit, db, kinds, new_runs
from shared.audit import Changes
from shared.errors import Invalid
from shared.new_runs import Made
from shared.pages import Paging
from shared.states import Role

blp = Blueprint("agents", says="What can be run: a kind, and a configuration of it.")
AGENT = Renderer(AgentSchema, agents.AGENTS)


@blp.route("")
class Agents(MethodView):
    """All agents."""

    @blp.query(AgentQuerySchema)
    @blp.answers(200, page_of(AgentSchema))
    def get(self, filters: Mapping[str, Any], paging: Paging) -> Response:
        """List agents

        By id, unless `sort` says otherwise.
        """
        return AGENT.page(agents.page(filters, paging))

    @blp.body(NewAgentSchema, example=examples.NEW_AGENT)
    @blp.answers(201, AgentSchema, example=examples.AGENT)
    def post(self, fields: dict[str, Any]) -> Response:
        """Make an agent

        Kinds that run code of the configuration's choosing take the role `admin`, and so does a
        configuration that names a secret. What it needs is checked soon after, and `check` then
        says what that came to.
        """
        agent_id = fields.pop("id")
        _demand_for(fields["kind"], fields.get("config", {}))
        with db.transaction():
            agents.create(agent_id, fields, now=work.now())
            _record("create", agent_id, audit.made(fields))
            checked = _checked(agent_id, fields["kind"])
            row = agents.get(agent_id)
        _dispatch(checked)
        return AGENT.tagged(row, 201, {"Location": f"/api/v1/agents/{agent_id}"})


@blp.route("/<slug:agent_id>")
class Agent(MethodView):
    """One agent."""

    @blp.answers(200, AgentSchema, example=examples.AGENT)
    def get(self, agent_id: str) -> Response:
        """Get an agent"""
        return AGENT.tagged(agents.get(agent_id))

    @blp.body(ReplacedAgentSchema, example=examples.NEW_AGENT)
    @blp.answers(200, AgentSchema, example=examples.AGENT)
    def put(self, fields: dict[str, Any], agent_id: str) -> Response:
        """Replace an agent

        What is not named stays as it is. Runs that exist keep to what they were told. What it
        needs is checked anew.
        """
        if fields.pop("id", agent_id) != agent_id:
            raise Invalid({"id": ["An agent keeps its id."]})
        checked = None
        with db.transaction():
            agent = agents.locked(agent_id, version=reading.if_match())
            _demand_for(agent.kind, agent.config)
            _demand_for(fields["kind"], fields.get("config", agent.config))
            changes = agents.change(agent, fields, now=work.now())
            if changes:
                _record("update", agent_id, changes)
                checked = _checked(agent_id, fields["kind"])
            row = agents.get(agent_id)
        _dispatch(checked)
        return AGENT.tagged(row)

    @blp.answers(204)
    def delete(self, agent_id: str) -> Response:
        """Delete an agent

        Only one that no schedule uses.
        """
        with db.transaction():
            agent = agents.locked(agent_id, version=reading.if_match())
            _demand_for(agent.kind, agent.config)
            agents.delete(agent, now=work.now())
            _record("delete", agent_id)
        return Response(status=204)


@blp.route("/<slug:agent_id>/check")
class Check(MethodView):
    """A look at what an agent needs."""

    @blp.answers(202, QueuedSchema, example=examples.QUEUED)
    def post(self, agent_id: str) -> Response:
        """Check an agent

        A worker looks whether what the agent needs is there: its secrets, and whatever its kind
        asks, such as a model with its price, services, tools and programs. Nothing of it is run,
        and nothing spent. It is a run with the trigger `CHECK`, whose content is the findings; when
        it has ended, the agent's `check` has them too. An agent that is disabled can be checked.
        """

        def make(**how: Any) -> Made:
            return new_runs.check(agent_id, **how)

        return queued(making.run(make, "agent.check", ("agent", agent_id)))


@blp.route("/<slug:agent_id>/runs/background")
class BackgroundRun(MethodView):
    """A run without a schedule."""

    @blp.body(NewRunSchema, example=examples.NEW_RUN)
    @blp.answers(202, QueuedSchema, example=examples.QUEUED)
    def post(self, orders: dict[str, Any], agent_id: str) -> Response:
        """Run an agent in the background

        With an `Idempotency-Key`, asking twice makes one run. Where a budget has no room for it,
        the answer is 409, or a run that is `PAUSED`, as that budget says.
        """

        def make(**how: Any) -> Made:
            return new_runs.background(agent_id, **orders, **how)

        return queued(making.run(make, "agent.run", ("agent", agent_id)))


def _demand_for(kind: str, config: Mapping[str, Any]) -> None:
    """Raise `Forbidden` where such an agent is for admins only, and the request comes from none."""
    if kinds.takes_admin(kind, config):
        access.demand(Role.ADMIN)


def _checked(agent_id: str, kind: str) -> UUID | None:
    """The check of an agent that was saved, if its kind has one."""
    return new_runs.check_anew(agent_id, now=work.now()) if kinds.checks(kind) else None


def _dispatch(run_id: UUID | None) -> None:
    if run_id is not None:
        services().dispatch(run_id)


def _record(action: str, agent_id: str, changes: Changes | None = None) -> None:
    audit.record(
        access.principal(), f"agent.{action}", ("agent", agent_id), changes, now=work.now()
    )
