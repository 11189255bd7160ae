from decimal import Decimal
from uuid import UUID

import pytest
from marshmallow import ValidationError

from worker.agents.echo import EchoAgent, EchoSchema
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop, StopReason


def test_it_answers_with_its_message(make, make_context):
    result = make(EchoAgent).run("three small words", make_context())

    assert result.content == "three small words"
    assert (result.input_tokens, result.output_tokens) == (3, 3)
    assert result.cost_usd is None


def test_it_costs_what_it_is_told_to(make, make_context):
    result = make(EchoAgent, costUsd=0.02).run("hi", make_context())

    assert result.cost_usd == Decimal("0.02")


def test_a_stop_ends_its_delay(make, make_context, start):
    context = make_context(stop=Stop())
    running = start(make(EchoAgent, delaySeconds=3600), "hi", context)

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=5)


@pytest.mark.parametrize("retryable", [True, False])
def test_it_fails_as_it_is_told_to(make, make_context, retryable):
    agent = make(EchoAgent, failureRate=1, retryable=retryable)

    with pytest.raises(AgentError, match="on purpose") as raised:
        agent.run("hi", make_context())

    assert raised.value.retryable is retryable


def test_the_same_attempt_always_ends_in_the_same_way(make, make_context):
    agent = make(EchoAgent, failureRate=0.3)

    def failures() -> list[int]:
        return [n for n in range(1000) if _fails(agent, make_context(run_id=UUID(int=n)))]

    assert failures() == failures()
    assert 250 < len(failures()) < 350


def test_another_attempt_may_end_otherwise(make, make_context):
    agent = make(EchoAgent, failureRate=0.5)

    outcomes = {_fails(agent, make_context(attempt=attempt)) for attempt in range(20)}

    assert outcomes == {True, False}


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({"delaySeconds": 86_401}, "delaySeconds", "from 0 to 86,400"),
        ({"delaySeconds": "soon"}, "delaySeconds", "from 0 to 86,400"),
        ({"delaySeconds": float("nan")}, "delaySeconds", "from 0 to 86,400"),
        ({"failureRate": 2}, "failureRate", "from 0 to 1"),
        ({"costUsd": -1}, "costUsd", "from 0 to 1,000,000"),
        ({"retryable": "perhaps"}, "retryable", "true or false"),
        ({"delay": 1}, "delay", "there are costUsd, delaySeconds, failureRate, retryable"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_cure(config, field, says):
    with pytest.raises(ValidationError) as raised:
        EchoSchema().load(config)

    assert says in raised.value.messages_dict[field][0]


def _fails(agent: EchoAgent, context) -> bool:
    try:
        agent.run("hi", context)
    except AgentError:
        return True
    return False
