"""The kind `llm`, asking each provider in its own dialect; what all have in common is next door."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dialects
import pytest

from shared.attempts import NOTHING
from worker.agents.llm.schema import PROVIDERS

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
#: Where each says how an answer may be, and by which name each knows its options.
OPTIONS = {
    "openai": (lambda asked: asked, "temperature", "max_output_tokens"),
    "openai-chat": (lambda asked: asked, "temperature", "max_completion_tokens"),
    "anthropic": (lambda asked: asked, "temperature", "max_tokens"),
    "google": (lambda asked: asked["generationConfig"], "temperature", "maxOutputTokens"),
    "ollama": (lambda asked: asked, "temperature", "max_completion_tokens"),
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


# Keys.


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
