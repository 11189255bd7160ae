"""Which secrets an agent is given: those that its configuration names."""

import pytest

from shared import kinds

MODEL = "openai-chat:gpt-5"
SERVICE = {"url": "https://example.com/"}
HTTP_TOOL = {
    "name": "weather",
    "description": "Tells the weather.",
    "url": "https://example.com/",
    "headers": {"Authorization": "Bearer ${secret:WEATHER}"},
}


@pytest.mark.parametrize(
    ("kind", "config", "names"),
    [
        ("echo", {}, set()),
        ("http", SERVICE, set()),
        ("http", {**SERVICE, "headers": {"X": "${secret:A}-${secret:B}"}}, {"A", "B"}),
        ("http", {**SERVICE, "signingSecret": "SIGN"}, {"SIGN"}),
        ("command", {"argv": ["env"], "env": {"KEY": "${secret:A}"}}, {"A"}),
        ("llm", {"model": MODEL}, {"OPENAI_API_KEY"}),
        ("llm", {"model": "anthropic:claude-5"}, {"ANTHROPIC_API_KEY"}),
        ("llm", {"model": MODEL, "apiKey": "${secret:MINE}"}, {"MINE"}),
        # Who says where a provider is does not get the key that is meant for the real one.
        ("llm", {"model": MODEL, "baseUrl": "https://example.com/v1"}, set()),
        ("llm", {"model": MODEL, "tools": [HTTP_TOOL]}, {"OPENAI_API_KEY", "WEATHER"}),
        # What schemas make of money is no JSON.
        ("llm", {"model": MODEL, "limits": {"costUsd": 0.5}}, {"OPENAI_API_KEY"}),
        (
            "llm",
            {"model": MODEL, "price": {"inputPerMillion": 1, "outputPerMillion": 2}},
            {"OPENAI_API_KEY"},
        ),
    ],
)
def test_an_agent_is_given_the_secrets_that_its_configuration_names(kind, config, names):
    assert kinds.secrets(kind, kinds.schema(kind).load(config)) == names


def test_what_is_not_installed_is_given_what_it_names():
    assert kinds.secrets("quantum", {"key": "${secret:A}"}) == {"A"}
