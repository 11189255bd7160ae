"""The kind `llm`, asking each provider in its own dialect; what all have in common is next door."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dialects
import httpx2
import pytest
from fake_models import HangUp, Refusal, Said

from shared.attempts import NOTHING
from worker.agents.llm import models as providers
from worker.agents.llm.agent import LlmAgent
from worker.agents.llm.schema import PROVIDERS
from worker.agents.protocol import AgentError

PRICE = {
    "inputPerMillion": 2,
    "outputPerMillion": 10,
    "cacheReadPerMillion": 0.5,
    "cacheWritePerMillion": 3,
}
#: A model of each that has a list price, and what the list says of `Used()`.
LISTED = {
    "openai": ("gpt-4o-mini", "0.000024"),
    "openai-chat": ("gpt-4o-mini", "0.000024"),
    "anthropic": ("claude-sonnet-5", "0.000328"),
    "google": ("gemini-2.5-flash", "0.0000692"),
}
#: By which name each knows how long an answer may be.
MOST_TOKENS = {
    "openai": "max_output_tokens",
    "openai-chat": "max_completion_tokens",
    "anthropic": "max_tokens",
    "google": "maxOutputTokens",
    "ollama": "max_completion_tokens",
}
TOTAL = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}
PARIS = '{"city": "Paris"}'
SEALED = ("sealed", "c2VhbGVk")
KEY = "sk-of-mine-4711"
MINE = {"apiKey": "${secret:MINE}", "context": {"secrets": {"MINE": KEY}}}


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@pytest.fixture
def weather(service):
    service.will_answer(200, "Sunny")
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "weather", "description": "Says how it is.", "parameters": city}
    return {**tool, "url": service.url}


def total(used):
    return sum(used, start=NOTHING)


def told(reports, type):
    return [data for each, data in reports if each == type]


def heard(models, number=-1):
    """What the model heard, in the form of chat completions."""
    path = models.paths[number]
    return dialects.of(path).hear(path, models.asked[number])


def test_what_it_answers_is_the_answer_and_is_told_while_it_answers(ask, reports):
    result = ask("echo", "How are sales?")

    assert (result.content, result.model) == ("echo: How are sales?", "echo")
    assert [type for type, _ in reports] == ["model_request", "text", "model_response"]
    assert told(reports, "text") == [{"text": "echo: How are sales?"}]
    assert told(reports, "model_response")[0]["finishReason"] == "stop"


# Keys.


@pytest.mark.parametrize("provider", [each for each in PROVIDERS if PROVIDERS[each]], indirect=True)
def test_no_variable_leads_it_or_its_key_elsewhere(
    make, make_context, models, base_url, provider, monkeypatch
):
    elsewhere = "http://127.0.0.1:9"
    for name in (
        *("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GOOGLE_VERTEX_BASE_URL", "OLLAMA_BASE_URL"),
    ):
        monkeypatch.setenv(name, elsewhere)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-machine")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-machine")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_CLIENT_MODE", "replay")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "theirs")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "theirs")
    where = {"anthropic": "ANTHROPIC", "google": "GOOGLE"}.get(provider, "OPENAI")
    monkeypatch.setattr(providers, where, base_url)
    secrets = {PROVIDERS[provider]: KEY}

    agent = make(LlmAgent, model=f"{provider}:echo")
    result = agent.run("Hi", make_context(allow_private_addresses=True, secrets=secrets))

    assert result.content == "echo: Hi"
    assert "machine" not in str(models.headers)
    assert KEY in models.keys[0]


@pytest.mark.parametrize("provider", ["openai", "anthropic"], indirect=True)
def test_no_variable_has_it_written_what_is_asked(provider, base_url):
    config = {"model": f"{provider}:echo", "baseUrl": base_url}
    program = Path(__file__).with_name("asking.py")

    written = subprocess.run(
        [sys.executable, program, json.dumps(config), "Whatever"],
        env={**os.environ, "OPENAI_LOG": "debug", "ANTHROPIC_LOG": "debug"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert "echo: Whatever" in written.stdout
    assert written.stderr == ""


# Failures.


@pytest.mark.parametrize("model", ["broken", "overloaded", "truncated", "collapsing"])
def test_what_may_go_well_next_time_is_tried_again(ask, provider, model):
    with pytest.raises(AgentError, match=f"{provider}:{model}") as failed:
        ask(model)

    assert failed.value.retryable


def test_an_attempt_after_an_answer_that_broke_off_asks_anew(ask, models, kept):
    with pytest.raises(AgentError, match="broke off"):
        ask("truncated")
    models.behaviours["truncated"] = models.behaviours["echo"]

    result = ask("truncated", "Hello", context={"kept": kept[-1], "attempt": 2})

    assert result.content == "echo: Hello"


def test_a_call_of_an_answer_that_broke_off_is_not_made(ask, models, service, weather):
    def half(models, body):
        calls = (("weather", {"city": "Paris"}), ("weather", {"city": "Rome"}))
        raise HangUp(Said(calls=calls), before="Rome")

    models.behaviours["half"] = half

    with pytest.raises(AgentError, match="broke off"):
        ask("half", tools=[weather])

    assert service.asked == []


def test_a_provider_that_is_busy_says_when_to_come_again(ask, models):
    with pytest.raises(AgentError, match="Too many requests") as failed:
        ask("busy")

    assert len(models.asked) == 1
    assert failed.value.retryable
    assert failed.value.retry_after == timedelta(seconds=90)


def test_a_hiccup_of_the_provider_costs_nothing_but_time(ask, models):
    def hiccup(models, body):
        if len(models.asked) == 1:
            raise Refusal(503, "Come again.")
        return Said(pieces=("Fine",))

    models.behaviours["hiccup"] = hiccup

    assert ask("hiccup").content == "Fine"


def test_no_connection_is_waited_for_for_long(ask, monkeypatch):
    waits, connect = [], httpx2.AsyncHTTPTransport.handle_async_request

    async def watched(transport, request):
        waits.append(request.extensions["timeout"]["connect"])
        return await connect(transport, request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", watched)
    ask("echo")

    assert waits == [10]
