"""The kind `llm`, asking each provider in its own dialect; what all have in common is next door."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import dialects
import httpx2
import pytest
from fake_models import HangUp, Refusal, Said, Used, text_of

from shared.attempts import NOTHING
from shared.findings import OK
from shared.states import ErrorCode
from worker.agents.llm import models as providers
from worker.agents.llm.agent import LlmAgent
from worker.agents.llm.schema import PROVIDERS
from worker.agents.protocol import AgentError, Answer, Pause, Stopped
from worker.agents.stop import StopReason

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


def test_what_it_thinks_is_told_apart_from_what_it_says(ask, reports):
    result = ask("thinker", "Hi")

    assert result.content == "echo: Hi"
    assert told(reports, "thinking") == [{"text": "Let me see."}]
    assert told(reports, "text") == [{"text": "echo: Hi"}]


def test_an_answer_that_was_cut_short_says_so(ask):
    result = ask("cut-short")

    assert (result.content, result.metadata["finishReason"]) == ("And so", "length")


def test_its_instructions_and_options_are_sent(ask, models, provider):
    ask("echo", "Hi", instructions="Be brief.", temperature=0.5, maxTokens=77)

    (asked,) = models.asked
    options = asked.get("generationConfig", asked)
    assert (options["temperature"], options[MOST_TOKENS[provider]]) == (0.5, 77)
    said = [(each["role"], each["content"]) for each in heard(models)["messages"]]
    assert said == [("system", "Be brief."), ("user", "Hi")]


# Prices.


def test_what_it_used_up_is_known_by_kind(ask, models, used, provider):
    written = 0 if provider == "google" else 10
    models.behaviours["writer"] = lambda *_: Said(pieces=("Hi",), usage=Used(written=written))

    ask("writer", price=PRICE)

    usage = total(used)
    assert (usage.input_tokens, usage.output_tokens, usage.requests) == (100, 20, 1)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (40, written)
    assert usage.reasoning_tokens == 8
    # All else of the input is fresh.
    fresh = 100 - 40 - written
    millionths = fresh * 2 + 40 * Decimal("0.5") + written * 3 + 20 * 10
    assert usage.cost_usd == millionths / 1_000_000


@pytest.mark.parametrize("provider", LISTED, indirect=True)
def test_a_list_price_is_what_it_costs(ask, models, used, provider):
    name, cost = LISTED[provider]
    models.behaviours[name] = models.behaviours["echo"]

    ask(name)

    assert total(used).cost_usd == Decimal(cost)


@pytest.mark.parametrize(
    "provider", [each for each in PROVIDERS if each != "anthropic"], indirect=True
)
def test_usage_that_the_provider_does_not_say_is_unknown(ask, used):
    """Anthropic always says it."""
    result = ask("unmeasured", price=PRICE)

    assert result.content == "Who knows"
    assert (total(used).requests, total(used).input_tokens, total(used).cost_usd) == (1, None, None)


# Keys.


def test_its_key_stands_in_the_header_for_it_and_nowhere_else(ask, models, reports, kept):
    ask("echo", **MINE)

    (headers,), header = models.headers, dialects.of(models.paths[0]).KEY
    with_key = {name.lower() for name, value in headers.items() if KEY in value}
    assert with_key == {header.lower()}
    assert KEY not in str((models.paths, models.asked, reports, kept))


def test_a_key_that_is_not_taken_is_shown_to_nobody(ask, models, reports, kept):
    with pytest.raises(AgentError, match="Wrong key") as failed:
        ask("locked", **MINE)

    assert not failed.value.retryable
    assert len(models.asked) == 1
    assert KEY not in str((failed.value, reports, kept))


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


def test_a_look_before_its_runs_knows_the_model_and_asks_nothing(
    make, make_context, models, provider, base_url
):
    agent = make(LlmAgent, model=f"{provider}:echo", baseUrl=base_url, apiKey="${secret:MINE}")

    found = agent.check(make_context(allow_private_addresses=True, secrets={"MINE": KEY}))

    assert [each.status for each in found if each.name == "model"] == [OK]
    (headers,) = models.headers
    assert KEY in str(headers)
    assert KEY not in models.looked_at[0]
    assert models.asked == []


# Tools.


@pytest.mark.parametrize("model", ["tool", "thinker"])
def test_a_tool_is_asked_and_the_model_hears_what_it_says(
    ask, service, weather, models, used, reports, model
):
    result = ask(model, PARIS, tools=[weather])

    assert [json.loads(each.body) for each in service.asked] == [{"city": "Paris"}]
    assert result.content == "It says: Sunny"
    assert (total(used).requests, total(used).tool_calls) == (2, 1)
    (call,), (answer,) = told(reports, "tool_call"), told(reports, "tool_result")
    assert (call["tool"], call["arguments"]) == ("weather", {"city": "Paris"})
    assert (answer["id"], answer["content"]) == (call["id"], "Sunny")


def test_calls_that_it_numbers_anew_have_keys_of_their_own(ask, service, weather, models):
    def twice(models, body):
        count = sum(each["role"] == "tool" for each in body["messages"])
        return Said(pieces=("Enough",)) if count == 2 else Said(calls=(("weather", {"city": "P"}),))

    models.behaviours["twice"] = twice
    assert ask("twice", tools=[weather]).content == "Enough"

    assert len({each.headers["Idempotency-Key"] for each in service.asked}) == 2


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"requests": 3}, "limits.requests of 3"),
        ({"totalTokens": 250}, "limits.totalTokens of 250"),
        ({"costUsd": 0.0007}, "more than its limit of 0.0007"),
    ],
)
def test_its_limits_are_kept(ask, weather, used, limits, says):
    weather["parameters"] = {"type": "object", "properties": {}}

    with pytest.raises(AgentError, match=says) as failed:
        ask("loop", tools=[weather], limits=limits, price=PRICE)

    assert failed.value.code is ErrorCode.LIMIT_EXCEEDED
    assert total(used).requests == 3


def test_arguments_that_are_no_json_are_asked_for_again_and_then_given_up(ask, models, weather):
    with pytest.raises(AgentError) as failed:
        ask("wrong-json", tools=[weather])

    assert failed.value.retryable
    assert len(models.asked) == 3


# Structured output.


@pytest.mark.parametrize("mode", ["tool", "native", "prompted"])
def test_an_answer_by_a_schema_is_json(ask, models, mode):
    answer = {"total": 42}
    by_tool = Said(calls=(("final_result", answer),))
    said = by_tool if mode == "tool" else Said(pieces=(json.dumps(answer),))
    # A name that each provider is known to be able to do this with.
    name = "claude-sonnet-5"
    models.behaviours[name] = lambda *_: said

    result = ask(name, outputSchema=TOTAL, outputMode=mode)

    assert json.loads(result.content) == answer
    assert "total" in str(models.asked[0])


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


def test_a_model_that_there_is_not_is_not_asked_for_again(ask, models):
    with pytest.raises(AgentError, match="There is no such model") as failed:
        ask("unknown")

    assert not failed.value.retryable
    assert len(models.asked) == 1


def test_a_provider_that_is_not_on_the_public_internet_is_not_asked(ask, models):
    with pytest.raises(AgentError, match="is not on the public internet") as failed:
        ask("echo", context={"allow_private_addresses": False})

    assert failed.value.code is ErrorCode.REJECTED
    assert models.asked == []


def test_no_connection_is_waited_for_for_long(ask, monkeypatch):
    waits, connect = [], httpx2.AsyncHTTPTransport.handle_async_request

    async def watched(transport, request):
        waits.append(request.extensions["timeout"]["connect"])
        return await connect(transport, request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", watched)
    ask("echo")

    assert waits == [10]


def test_an_answer_without_end_is_not_read_to_its_end(ask, models):
    models.behaviours["flood"] = lambda *_: Said(pieces=("x" * 200_000,) * 10)

    with pytest.raises(AgentError, match="more than") as failed:
        ask("flood", context={"output_limit": 100_000})

    assert failed.value.code is ErrorCode.REJECTED


def test_a_stop_reaches_a_call_in_flight(make, make_context, models, start, provider, base_url):
    context = make_context(allow_private_addresses=True)
    running = start(make(LlmAgent, model=f"{provider}:slow", baseUrl=base_url), "Hello", context)
    assert models.waiting.acquire(timeout=20)

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=3)


# Going on.


@pytest.mark.parametrize("model", ["tool", "thinker"])
@pytest.mark.parametrize(
    ("answer", "says", "calls"),
    [
        (Answer(approved=True), "It says: Sunny", 1),
        (Answer(approved=False, says="Not in winter."), "It says: Not in winter.", 0),
    ],
)
def test_it_goes_on_from_what_was_kept_while_a_person_was_asked(
    ask, models, service, weather, kept, model, answer, says, calls
):
    tools = [{**weather, "approval": True}]
    pause = ask(model, PARIS, tools=tools)
    assert isinstance(pause, Pause)
    assert service.asked == []

    answers = {pause.asks[0].id: answer}
    result = ask(model, PARIS, tools=tools, context={"kept": kept[-1], "answers": answers})

    assert result.content == says
    assert len(service.asked) == calls
    assert len(models.asked) == 2


def test_a_call_of_which_nobody_knows_the_result_is_made_again(ask, service, weather, kept):
    ask("tool", PARIS, tools=[weather])
    with_the_call = kept[1]

    ask("tool", PARIS, tools=[weather], context={"kept": with_the_call, "attempt": 2})

    first, second = (each.headers["Idempotency-Key"] for each in service.asked)
    assert first == second


@pytest.fixture
def remembered(ask, weather):
    """What a session remembers of a run that thought and called a tool."""
    return ask("thinker", PARIS, tools=[weather], context={"history": ""}).history


def test_a_session_remembers_what_was_said(ask, models, remembered):
    ask("echo", "And in Rome?", context={"history": remembered})

    said = heard(models)["messages"]
    assert [text_of(each) for each in said if each["role"] == "user"] == [PARIS, "And in Rome?"]
    assert [text_of(each) for each in said if each["role"] == "tool"] == ["Sunny"]
    assert text_of(said[-2]).endswith("It says: Sunny")


@pytest.mark.parametrize("other", PROVIDERS)
def test_a_session_goes_on_with_any_other_provider(
    make, make_context, models, remembered, other, provider
):
    base_url = models.root if other in ("anthropic", "google") else models.url
    context = make_context(allow_private_addresses=True, history=remembered)

    result = make(LlmAgent, model=f"{other}:echo", baseUrl=base_url).run("Go on", context)

    assert result.content == "echo: Go on"
    assert "It says: Sunny" in str(heard(models))
    # What one has sealed is nothing to another.
    assert other == provider or not any(each in str(models.asked[-1]) for each in SEALED)
