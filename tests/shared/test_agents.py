"""The registry as a module: seeding, and who is locked out."""

import pytest
from factories import NOON, make_agent, make_schedule

from shared import agents, kinds
from shared.errors import Conflict, Invalid, NotFound, VersionMismatch
from shared.models import Agent
from shared.pages import Paging

pytestmark = pytest.mark.usefixtures("database")


def test_the_first_start_makes_agents_to_try_things_with():
    made = agents.seed(now=NOON)

    assert "finance_agent" in made
    assert {agent.id for agent in Agent.select()} == set(made)
    for agent in Agent.select():
        kinds.validate(agent.kind, agent.config)


def test_a_later_start_makes_none():
    make_agent("mine")

    assert agents.seed(now=NOON) == []
    assert [agent.id for agent in Agent.select()] == ["mine"]


def test_an_agent_is_made_once():
    agents.create("one", {"name": "One", "kind": "echo"}, now=NOON)

    with pytest.raises(Conflict):
        agents.create("one", {"name": "Two", "kind": "echo"}, now=NOON)

    assert Agent.get_by_id("one").name == "One"


def test_a_configuration_that_its_kind_cannot_run_is_refused():
    with pytest.raises(Invalid) as refused:
        agents.create("one", {"name": "One", "kind": "echo", "config": {"x": 1}}, now=NOON)

    assert refused.value.fields.keys() == {"config.x"}


def test_a_change_of_kind_validates_the_configuration_anew():
    agent = make_agent(config={"delaySeconds": 1})

    with pytest.raises(Invalid):
        agents.change(agent, {"kind": "command"}, now=NOON)

    assert Agent.get_by_id("echo").kind == "echo"


def test_an_agent_of_another_version_is_not_to_be_had():
    make_agent()

    with pytest.raises(VersionMismatch):
        agents.locked("echo", version=2)
    with pytest.raises(NotFound):
        agents.locked("nobody")


def test_a_used_agent_stays_until_its_last_schedule_is_deleted():
    schedule = make_schedule()

    with pytest.raises(Conflict, match="1 schedule"):
        agents.delete(agents.locked("echo"), now=NOON)
    type(schedule).update(deleted_at=NOON, enabled=False).execute()
    agents.delete(agents.locked("echo"), now=NOON)

    deleted = Agent.get_by_id("echo")
    assert (deleted.deleted_at, deleted.enabled) == (NOON, False)
    assert agents.page({}, Paging()).total == 0
    with pytest.raises(Invalid):
        agents.check_usable("echo")
