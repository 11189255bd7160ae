"""The kind `llm`, asking a server that speaks as OpenAI does."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from fake_models import Refusal, Said, last, text_of
from marshmallow import ValidationError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage, RunUsage
from slow_service import SlowService
from waiting import wait_until

from shared import kinds
from shared.attempts import NOTHING
from shared.states import ErrorCode
from worker.agents.llm import conversation, prices
from worker.agents.llm.agent import LlmAgent
from worker.agents.llm.tools import AT_ONCE
from worker.agents.protocol import AgentError, Answer, Pause, Result, Stopped
from worker.agents.stop import StopReason

PRICE = {"inputPerMillion": 2, "outputPerMillion": 10, "cacheReadPerMillion": 0.5}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOTAL = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
PARIS = '{"city": "Paris"}'
QUESTION = '{"question": "Which one?"}'


@pytest.fixture
def weather(service):
    """A tool that asks a service; what is given changes it."""

    def weather(**changes):
        tool = {"name": "weather", "description": "Says how it is.", "parameters": CITY}
        return {**tool, "url": service.url, **changes}

    return weather


def total(used):
    return sum(used, start=NOTHING)


def types_of(reports):
    return [type for type, _ in reports]


def told(reports, type):
    return [data for each, data in reports if each == type]


def test_what_the_model_answers_is_the_answer(ask):
    result = ask("echo", "How are sales?")

    assert result.content == "echo: How are sales?"
    assert result.model == "echo"


def test_what_it_used_up_is_known_by_kind(ask, used):
    ask("echo")

    usage = total(used)
    assert (usage.input_tokens, usage.output_tokens, usage.requests) == (100, 20, 1)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (40, 8)


def test_its_instructions_and_options_are_sent(ask, models):
    ask("echo", instructions="Be brief.", temperature=0.5, maxTokens=77)

    asked = models.asked[0]
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked["temperature"] == 0.5
    assert 77 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


def test_what_happens_is_told_while_it_happens(ask, reports):
    ask("echo", "Hi")

    assert types_of(reports) == ["model_request", "text", "model_response"]
    assert told(reports, "text") == [{"text": "echo: Hi"}]
    response = told(reports, "model_response")[0]
    assert response["finishReason"] == "stop"
    assert response["inputTokens"] == 100


# Prices.


def test_its_own_price_is_what_it_costs(ask, used):
    ask("echo", price=PRICE)

    # 60 fresh, 40 from the cache, 20 written.
    assert total(used).cost_usd == Decimal("0.00034")


def test_a_price_that_nobody_knows_is_unknown(ask, used):
    ask("echo")

    assert total(used).cost_usd is None


def test_usage_that_the_provider_does_not_say_is_unknown(ask, used):
    ask("unmeasured", price=PRICE)

    usage = total(used)
    assert usage.requests == 1
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (None, None, None)


# Secrets.


def test_its_key_is_the_secret_that_it_names(ask, models):
    ask("echo", apiKey="${secret:MINE}", context={"secrets": {"MINE": "sk-of-mine"}})

    assert models.keys == ["Bearer sk-of-mine"]


def test_the_key_of_a_provider_goes_nowhere_else(ask, models):
    ask("echo", context={"secrets": {"OPENAI_API_KEY": "sk-of-openai"}})

    assert "sk-of-openai" not in str(models.keys)


def test_it_names_the_key_of_its_provider_unless_it_names_another(make):
    def names(**config):
        return LlmAgent.secrets(LlmAgent.config_schema().load(config))

    assert names(model="openai:gpt-5-mini") == ["OPENAI_API_KEY"]
    assert names(model="anthropic:claude-sonnet-5") == ["ANTHROPIC_API_KEY"]
    assert names(model="openai:gpt-5-mini", apiKey="${secret:MINE}") == []
    assert names(model="openai-chat:small", baseUrl="http://models.internal/v1") == []


def test_secrets_are_found_beside_amounts_of_money():
    amounts = {"price": PRICE, "limits": {"costUsd": 1}}
    raw = {"model": "openai:gpt-5-mini", "apiKey": "${secret:MINE}", **amounts}

    assert kinds.secrets("llm", LlmAgent.config_schema().load(raw)) == {"MINE"}


def test_a_key_that_the_worker_lacks_is_named(make, make_context):
    with pytest.raises(AgentError, match="AGENT_MANAGER_SECRET_OPENAI_API_KEY") as failed:
        make(LlmAgent, model="openai:gpt-5-mini").run("Hello", make_context())

    assert failed.value.code is ErrorCode.REJECTED


def test_a_secret_that_comes_in_pieces_is_in_no_event(ask, models, reports, monkeypatch):
    monkeypatch.setattr("worker.agents.llm.telling._JOINED_SECONDS", 0)
    secret = "s3cret-of-the-house"
    models.behaviours["leak"] = lambda *_: Said(pieces=("It is ", *secret, " and s", "3cond."))

    ask("leak", context={"secrets": {"KEY": secret}})

    texts = [each["text"] for each in told(reports, "text")]
    assert texts == ["It is ", "***", " and ", "s3cond."]


def test_a_secret_is_cut_by_no_event(ask, models, reports):
    secret = "s3cret-of-the-house"
    models.behaviours["leak"] = lambda *_: Said(pieces=("x" * 3990 + secret + "y" * 100,))

    ask("leak", context={"secrets": {"KEY": secret}})

    text = "".join(each["text"] for each in told(reports, "text"))
    assert text == "x" * 3990 + "***" + "y" * 100


def test_a_secret_that_the_model_says_is_not_kept(ask, models, kept, weather, service):
    secret = 's3cret-"of\\the-house'
    service.will_answer(200, "Sunny")

    def leak(models, body):
        if last(body)["role"] == "tool":
            return Said(pieces=(secret, json.dumps(secret)))
        return Said(calls=(("weather", {"city": secret}),))

    models.behaviours["leak"] = leak
    context = {"secrets": {"KEY": secret}, "history": ""}
    result = ask("leak", tools=[weather()], context=context)

    for said in (*kept, result.history):
        assert "s3cret" not in said
        assert "the-house" not in said
    assert "***" in kept[-1]
    # It is still a state that the next attempt can go on from.
    assert ask("leak", tools=[weather()], context={**context, "kept": kept[-1]}).content


# Tools.


def test_a_tool_is_asked_with_what_the_model_chose(ask, service, weather, models, used):
    service.will_answer(200, "Sunny")
    tool = weather(headers={"Authorization": "Bearer ${secret:WEATHER}"})

    result = ask("tool", PARIS, tools=[tool], context={"secrets": {"WEATHER": "w-secret"}})

    (asked,) = service.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"city": "Paris"})
    assert asked.headers["Authorization"] == "Bearer w-secret"
    assert len(asked.headers["Idempotency-Key"]) == 32
    assert result.content == "It says: Sunny"
    assert (total(used).requests, total(used).tool_calls) == (2, 1)
    assert models.asked[0]["tools"][0]["function"]["parameters"]["required"] == ["city"]


def test_calls_of_tools_are_told(ask, service, weather, reports):
    service.will_answer(200, "Sunny")

    ask("tool", PARIS, tools=[weather()])

    (call,), (result,) = told(reports, "tool_call"), told(reports, "tool_result")
    assert (call["tool"], call["arguments"]) == ("weather", {"city": "Paris"})
    assert (result["content"], result["outcome"]) == ("Sunny", "success")
    assert call["id"] == result["id"]


@pytest.mark.parametrize(
    ("city", "path"),
    [
        ("São Paulo/..", "/run/S%C3%A3o%20Paulo%2F..?unit=C&city=S%C3%A3o%20Paulo%2F.."),
        ("..", "/run/%2E%2E?unit=C&city=%2E%2E"),
        ("a?b=c#d&e", "/run/a%3Fb%3Dc%23d%26e?unit=C&city=a%3Fb%3Dc%23d%26e"),
    ],
)
def test_arguments_in_a_url_stay_where_they_belong(ask, service, weather, city, path):
    service.will_answer(200, "Sunny")
    parameters = {"type": "object", "properties": {"place": {}, "city": {}}}
    url = service.url + "/{place}?unit=C"
    tool = weather(method="GET", url=url, parameters=parameters)

    ask("tool", json.dumps({"place": city, "city": city}), tools=[tool])

    assert service.asked[0].path == path


def test_calls_that_are_not_the_same_have_keys_of_their_own(ask, service, weather, models):
    service.will_answer(200, "Done")

    def twice(models, body):
        count = sum(each["role"] == "tool" for each in body["messages"])
        return Said(pieces=("Enough",)) if count == 2 else Said(calls=(("order", {"n": 1}),))

    models.behaviours["twice"] = twice
    ask("twice", tools=[weather(name="order", parameters={"type": "object"})])

    first, second = (each.headers["Idempotency-Key"] for each in service.asked)
    assert first != second


def test_a_place_in_a_url_is_never_left_empty(ask, service, weather):
    parameters = {"type": "object", "properties": {"id": {"type": "string"}}}
    tool = weather(method="DELETE", url=service.url + "/{id}", parameters=parameters)

    result = ask("tool", '{"id": ""}', tools=[tool])

    assert "Give id" in result.content
    assert service.asked == []


def test_no_agent_gets_the_cookies_of_another(ask, service, weather):
    service.will_answer(200, "Sunny", Set_Cookie="session=of-mine")

    ask("tool", PARIS, tools=[weather()])
    ask("tool", PARIS, tools=[weather()])

    assert "Cookie" not in service.asked[1].headers


def test_a_charset_that_takes_for_ever_is_not_believed(ask, service, weather):
    service.will_answer(200, "x" * 50_000, Content_Type="text/plain; charset=punycode")

    assert ask("tool", PARIS, tools=[weather()]).content.startswith("It says: xxx")


def test_a_tool_that_fails_does_not_fail_the_run(ask, service, weather):
    service.will_answer(503, "Closed for today")

    result = ask("tool", PARIS, tools=[weather()])

    assert "answered 503 Service Unavailable: Closed for today" in result.content


def test_a_url_that_the_arguments_make_too_long_does_not_fail_the_run(ask, service, weather):
    result = ask("tool", json.dumps({"city": "x" * 70_000}), tools=[weather(method="GET")])

    assert "There is no such URL: URL too long" in result.content
    assert service.asked == []


def test_a_tool_that_does_not_answer_in_time_is_given_up(ask, weather, misbehaving):
    url = misbehaving(lambda connection: None)

    result = ask("tool", PARIS, tools=[weather(url=url, timeoutSeconds=1)])

    assert "did not answer within 1 seconds" in result.content


def calling(*calls):
    """A model that makes those calls all at once, and is done."""
    return lambda models, body: (
        Said(pieces=("Done",)) if last(body)["role"] == "tool" else Said(calls=calls)
    )


def answers(models):
    """What the model was told that its tools have answered, by the end."""
    return [text_of(each) for each in models.asked[-1]["messages"] if each["role"] == "tool"]


def test_so_many_calls_of_a_run_are_made_at_a_time_and_no_more(ask, models, weather):
    models.behaviours["many"] = calling(*(("weather", {"city": "Paris"}),) * 3 * AT_ONCE)
    with ThreadPoolExecutor() as pool, SlowService() as service:
        running = pool.submit(ask, "many", tools=[weather(url=service.url, method="GET")])
        wait_until(lambda: service.waiting == AT_ONCE, "the first calls", timeout=60)
        service.answer()
        running.result(timeout=60)

    assert answers(models) == ["done"] * 3 * AT_ONCE
    assert service.most == AT_ONCE


def test_who_waits_for_its_turn_does_not_run_out_of_time(
    ask, models, service, weather, misbehaving, monkeypatch
):
    monkeypatch.setattr(conversation, "AT_ONCE", 1)
    service.will_answer(200, "Sunny")
    silent = weather(name="silent", url=misbehaving(lambda connection: None), timeoutSeconds=1)
    paris = {"city": "Paris"}
    models.behaviours["both"] = calling(("silent", paris), ("weather", paris))

    ask("both", tools=[silent, weather(timeoutSeconds=1)])

    silence, answer = answers(models)
    assert "did not answer within 1 seconds" in silence
    assert answer == "Sunny"


def test_a_tool_is_not_called_with_what_its_parameters_do_not_allow(ask, service, weather):
    result = ask("tool", '{"city": 5}', tools=[weather()])

    assert "$.city: 5 is not of type 'string'" in result.content
    assert service.asked == []


def test_a_tool_does_not_reach_what_is_not_public(ask, models, weather, monkeypatch):
    # The model itself may be reached: only the tool leads inside.
    monkeypatch.setattr("worker.agents.llm.network.is_public", lambda at: str(at) == "127.0.0.1")

    result = ask(
        "tool",
        PARIS,
        tools=[weather(url="http://[::1]:9/")],
        context={"allow_private_addresses": False},
    )

    assert "is not on the public internet" in result.content


def test_what_a_tool_says_of_a_secret_the_model_never_sees(ask, service, weather, models):
    service.will_answer(200, "You sent w-secret.")
    tool = weather(headers={"X-Key": "${secret:WEATHER}"})

    ask("tool", PARIS, tools=[tool], context={"secrets": {"WEATHER": "w-secret"}})

    assert text_of(last(models.asked[-1])) == "You sent ***."


def test_a_tool_that_was_not_offered_is_not_called(ask, service, weather, reports):
    result = ask("unoffered", tools=[weather()])

    assert service.asked == []
    assert "rm_rf" in result.content


# Limits.


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"requests": 3}, "limits.requests of 3"),
        ({"toolCalls": 2}, "limits.toolCalls of 2"),
        ({"totalTokens": 250}, "limits.totalTokens of 250"),
        ({"costUsd": 0.0007}, "more than its limit of 0.0007"),
    ],
)
def test_a_model_that_goes_on_for_ever_is_stopped(ask, service, weather, used, limits, says):
    service.will_answer(200, "Sunny")
    tool = weather(parameters={"type": "object"})

    with pytest.raises(AgentError, match=says) as failed:
        ask("loop", tools=[tool], limits=limits, price=PRICE)

    assert failed.value.code is ErrorCode.LIMIT_EXCEEDED
    assert not failed.value.retryable
    # What it has used up by then is known all the same.
    assert total(used).requests == 3


def test_what_an_answer_that_fails_has_cost_is_unknown():
    price = {name: Decimal(1) for name in ("inputPerMillion", "outputPerMillion")}
    price |= {"cacheReadPerMillion": None, "cacheWritePerMillion": None}

    usage = prices.usage(RunUsage(), RunUsage(requests=1), price)

    assert (usage.requests, usage.input_tokens, usage.cost_usd) == (1, None, None)


def test_a_limit_is_named_as_it_is_here(ask, weather, service):
    service.will_answer(200, "Sunny")
    tool = weather(parameters={"type": "object"})

    with pytest.raises(AgentError) as failed:
        ask("loop", tools=[tool], limits={"requests": 2})

    assert str(failed.value) == "The next request would exceed the limits.requests of 2."


def test_calls_are_counted_before_the_next_answer(ask, service, weather, models, used, kept):
    service.will_answer(200, "Sunny")

    ask("tool", PARIS, tools=[weather()])

    # What is kept then goes with what was used, should its worker die.
    assert [(each.requests, each.tool_calls) for each in used] == [(1, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(("details", "whole"), [({"refusal": "No."}, True), ({}, False)])
def test_a_refusal_is_a_whole_answer_though_nobody_says_what_it_used_up(details, whole):
    answer = ModelResponse(
        parts=[], provider_details=details, usage=RequestUsage(unmeasured_requests=1)
    )

    assert conversation._broke_off(answer) is not whole


def test_a_limit_of_money_takes_a_price(ask):
    with pytest.raises(AgentError, match="nobody knows the price of openai-chat:echo") as failed:
        ask("echo", limits={"costUsd": 1})

    assert failed.value.code is ErrorCode.REJECTED


def test_a_limit_of_money_takes_usage_that_is_said_each_time(ask, service, weather, models):
    def forgetful(models, body):
        if last(body)["role"] == "tool":
            return Said(pieces=("Sunny",), usage=None)
        return Said(calls=(("weather", {"city": "Paris"}),))

    service.will_answer(200, "Sunny")
    models.behaviours["forgetful"] = forgetful

    with pytest.raises(AgentError, match="does not say what its answer used up") as failed:
        ask("forgetful", tools=[weather()], limits={"costUsd": 1}, price=PRICE)

    assert failed.value.code is ErrorCode.REJECTED


@pytest.mark.parametrize(
    ("before", "after", "cost"),
    [(None, None, None), (None, "1", "1"), ("1", "1.5", "0.5"), ("1", "1", None), ("0", "0", "0")],
)
def test_what_an_answer_cost_is_known_if_its_price_was(before, after, cost):
    told = [RunUsage(requests=1, cost=each and Decimal(each)) for each in (before, after)]

    assert prices.usage(*told, None).cost_usd == (cost and Decimal(cost))


# Structured output.


def test_an_answer_by_a_schema_is_json(ask, models):
    models.behaviours["sum"] = lambda *_: Said(calls=(("final_result", {"total": 42}),))

    result = ask("sum", outputSchema=TOTAL)

    assert json.loads(result.content) == {"total": 42}


def test_an_answer_can_be_asked_for_in_the_providers_own_way(ask, models):
    models.behaviours["sum"] = lambda *_: Said(pieces=('{"total": 42}',))

    result = ask("sum", outputSchema=TOTAL, outputMode="native")

    assert json.loads(result.content) == {"total": 42}
    assert models.asked[0]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    "defs",
    [
        {"a": {"$ref": "#/$defs/a"}},
        {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)},
    ],
)
def test_a_schema_that_takes_for_ever_is_refused(make, defs):
    first = {"x": {"$ref": f"#/$defs/{min(defs)}"}}
    schema = {**TOTAL, "$defs": {**defs, "a40": {}}, "properties": first}

    with pytest.raises(ValidationError, match="no circle, no doubling"):
        make(LlmAgent, model="openai:gpt-5-mini", outputSchema=schema)


@pytest.mark.parametrize("answer", ['{"total": "many"}', '{"total": "many"', "{}"])
def test_an_answer_that_is_not_as_asked_is_asked_for_again_and_then_fails(ask, models, answer):
    models.behaviours["sum"] = lambda *_: Said(calls=(("final_result", answer),))

    with pytest.raises(AgentError, match="output retries") as failed:
        ask("sum", outputSchema=TOTAL)

    assert failed.value.retryable

    assert len(models.asked) == 3
    assert "total" in str(models.asked[-1]["messages"])


# Failures.


@pytest.mark.parametrize("model", ["broken", "truncated"])
def test_what_may_go_well_next_time_is_tried_again(ask, model):
    with pytest.raises(AgentError, match=f"openai-chat:{model}") as failed:
        ask(model)

    assert failed.value.retryable


def test_a_provider_that_is_busy_says_when_to_come_again(ask, models):
    with pytest.raises(AgentError) as failed:
        ask("busy")

    # Nobody waits for that long in a thread of the worker.
    assert len(models.asked) == 1
    assert failed.value.retryable
    assert failed.value.retry_after == timedelta(seconds=90)


def test_nobody_is_put_off_for_longer_than_a_clock_can_say(ask, models):
    def later(models, body):
        raise Refusal(429, "Later.", Retry_After="100000000000000000000")

    models.behaviours["later"] = later

    with pytest.raises(AgentError) as failed:
        ask("later")

    assert failed.value.retryable
    assert failed.value.retry_after <= timedelta(days=1)


@pytest.mark.parametrize("model", ["locked", "unknown"])
def test_what_cannot_go_well_is_not_tried_again(ask, model):
    with pytest.raises(AgentError) as failed:
        ask(model)

    assert not failed.value.retryable


def test_a_hiccup_of_the_provider_costs_nothing_but_time(ask, models):
    def hiccup(models, body):
        if len(models.asked) == 1:
            return models.behaviours["broken"](models, body)
        return Said(pieces=("Fine",))

    models.behaviours["hiccup"] = hiccup

    assert ask("hiccup").content == "Fine"


def test_a_model_that_is_not_on_the_public_internet_is_not_asked(ask, models):
    with pytest.raises(AgentError, match="is not on the public internet") as failed:
        ask("echo", context={"allow_private_addresses": False})

    assert failed.value.code is ErrorCode.REJECTED
    assert models.asked == []


def test_an_answer_without_end_is_not_read_to_its_end(ask, models):
    models.behaviours["flood"] = lambda *_: Said(pieces=("x" * 20_000,) * 100)

    with pytest.raises(AgentError, match="more than") as failed:
        ask("flood", context={"output_limit": 100_000})

    assert failed.value.code is ErrorCode.REJECTED


def test_a_long_answer_is_cut(ask, models):
    models.behaviours["long"] = lambda *_: Said(pieces=("x" * 5_000,) * 100)

    result = ask("long", context={"output_limit": 100_000})

    assert "bytes cut" in result.content
    assert len(result.content) < 101_000


def test_what_no_database_keeps_does_no_harm(ask, models):
    models.behaviours["odd"] = lambda *_: Said(pieces=("<script>\0\x1b[2J",))

    assert ask("odd").content == "<script>\ufffd\x1b[2J"


def test_what_is_no_text_is_no_answer(ask, models):
    models.behaviours["odd"] = lambda *_: Said(pieces=("Half a \ud800",))

    with pytest.raises(AgentError, match="openai-chat:odd said what is no text"):
        ask("odd")


# Stopping.


def test_a_stop_reaches_a_call_in_flight(make, make_context, models, start):
    context = make_context(allow_private_addresses=True)
    agent = make(LlmAgent, model="openai-chat:slow", baseUrl=models.url)
    running = start(agent, "Hello", context)
    assert models.waiting.acquire(timeout=20)

    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        running.result(timeout=3)


def test_a_stop_before_the_start_asks_nobody(make, make_context, models):
    context = make_context(allow_private_addresses=True)
    context.stop.set(StopReason.CANCELLED)

    with pytest.raises(Stopped):
        make(LlmAgent, model="openai-chat:echo", baseUrl=models.url).run("Hello", context)

    assert models.asked == []


def test_many_are_asked_at_once(ask, models):
    with ThreadPoolExecutor(50) as pool:
        running = [pool.submit(ask, "slow") for _ in range(50)]
        for _ in running:
            assert models.waiting.acquire(timeout=20)
        models.released.set()

        assert {each.result().content for each in running} == {"At last"}


# Asking a person.


@pytest.fixture
def paused(ask, weather, kept):
    """A pause of a model that wants to use a tool which takes approval, and how to go on."""

    def go_on(answers, **context):
        return ask(
            "tool", PARIS, tools=[tool], context={"kept": kept[-1], "answers": answers, **context}
        )

    tool = weather(approval=True)
    return ask("tool", PARIS, tools=[tool]), go_on


def test_a_tool_that_takes_approval_is_not_called_without(paused, service):
    pause, _ = paused

    assert isinstance(pause, Pause)
    (asked,) = pause.asks
    assert (asked.tool, asked.arguments) == ("weather", {"city": "Paris"})
    assert service.asked == []


def test_what_was_approved_is_done(paused, service, models):
    pause, go_on = paused
    service.will_answer(200, "Sunny")

    result = go_on({pause.asks[0].id: Answer(approved=True)})

    assert result.content == "It says: Sunny"
    assert len(service.asked) == 1
    # Nothing was asked twice.
    assert len(models.asked) == 2


def test_an_answer_holds_until_it_has_been_used(paused, service, kept):
    pause, go_on = paused
    service.will_answer(200, "Sunny")
    before = len(kept)

    go_on({pause.asks[0].id: Answer(approved=True)}, attempt=2)

    # What is kept by the attempt that goes on outdates the answers.
    assert all("Sunny" in state for state in kept[before:])


def test_what_was_denied_is_not_done_and_the_model_hears_why(paused, service):
    pause, go_on = paused

    result = go_on({pause.asks[0].id: Answer(approved=False, says="Not in winter.")})

    assert result.content == "It says: Not in winter."
    assert service.asked == []


def test_who_goes_on_without_answers_asks_again(paused, service):
    pause, go_on = paused

    assert go_on({}) == pause
    assert go_on({"call_of_another": Answer(approved=True)}) == pause
    assert service.asked == []


@pytest.mark.parametrize("denies", [False, True])
def test_a_call_beside_one_that_takes_approval_is_made_and_the_other_answered(
    ask, weather, service, models, kept, denies
):
    service.will_answer(200, "Sunny")

    def both(models, body):
        if last(body)["role"] == "tool":
            return Said(pieces=("Done: ", *(text_of(each) for each in body["messages"][-2:])))
        return Said(calls=(("look", {}), ("refund", {})))

    models.behaviours["both"] = both
    plain = {"parameters": {"type": "object"}}
    tools = [weather(name="look", **plain), weather(name="refund", approval=True, **plain)]

    came = ask("both", tools=tools, context={"denies": denies})

    if not denies:
        assert [each.tool for each in came.asks] == ["refund"]
        assert len(service.asked) == 1
        answers = {came.asks[0].id: Answer(approved=True)}
        came = ask("both", tools=tools, context={"kept": kept[-1], "answers": answers})
    assert came.content.startswith("Done: ")
    assert len(service.asked) == (1 if denies else 2)


def test_what_is_asked_is_in_the_order_of_the_model(ask, weather, models):
    question = ("ask_person", {"question": "Which?"})
    calls = (("refund", {}), question, ("mail", {}))
    models.behaviours["three"] = lambda *_: Said(calls=calls)
    plain = {"parameters": {"type": "object"}, "approval": True}
    tools = [weather(name=name, **plain) for name in ("mail", "refund")]

    pause = ask("three", tools=tools, askPerson=True)

    assert [each.tool for each in pause.asks] == ["refund", "ask_person", "mail"]


def test_two_calls_of_one_id_are_not_asked_for(ask, weather, models):
    calls = (("refund", {}), ("refund", {"a": 1}))
    models.behaviours["twice"] = lambda *_: Said(calls=calls, ids=("call_0", "call_0"))
    tool = weather(name="refund", approval=True, parameters={"type": "object"})

    with pytest.raises(AgentError):
        ask("twice", tools=[tool])


def test_where_nobody_is_to_be_asked_it_is_denied(ask, weather, service):
    result = ask("tool", PARIS, tools=[weather(approval=True)], context={"denies": True})

    assert "nobody is to be asked" in result.content
    assert service.asked == []


@pytest.fixture
def asked(ask, models, kept):
    """A pause of a model that asks a person what is to be done, and how to go on."""

    def go_on(**answer):
        answers = {pause.asks[0].id: Answer(**answer)}
        return ask("tool", QUESTION, askPerson=True, context={"kept": state, "answers": answers})

    pause, state = ask("tool", QUESTION, askPerson=True), kept[-1]
    return pause, go_on


def test_a_model_that_asks_a_person_pauses(asked):
    pause, _ = asked

    assert [(each.tool, each.question) for each in pause.asks] == [("ask_person", "Which one?")]


def test_the_answer_of_a_person_is_what_the_model_hears(asked, models, reports):
    _, go_on = asked

    assert go_on(approved=True, says="The red one.").content == "It says: The red one."
    # Nothing was asked twice.
    assert len(models.asked) == 2
    assert [each["content"] for each in told(reports, "tool_result")] == ["The red one."]


def test_a_question_can_be_left_without_an_answer(asked):
    _, go_on = asked

    assert "Do without" in go_on(approved=False).content
    assert "I am away" in go_on(approved=False, says="I am away.").content


def test_where_nobody_is_to_be_asked_a_question_is_not_answered(ask):
    result = ask("tool", QUESTION, askPerson=True, context={"denies": True})

    assert "nobody is to be asked" in result.content


@pytest.mark.parametrize(
    "arguments", [{}, {"question": ""}, {"question": 1}, {"question": "?" * 4001}]
)
def test_what_is_no_question_is_asked_of_nobody(ask, models, arguments):
    result = ask("tool", json.dumps(arguments), askPerson=True)

    assert isinstance(result, Result)
    assert result.content.startswith("It says: ")


def test_no_other_tool_has_the_name_of_the_one_that_asks(make, weather):
    with pytest.raises(ValidationError, match="askPerson"):
        make(LlmAgent, model="openai:gpt-5-mini", tools=[weather(name="ask_person")])


def test_a_model_that_may_not_ask_is_not_offered_it(ask, models):
    ask("echo")

    assert "tools" not in models.asked[-1]


def test_a_conversation_that_is_too_long_to_be_kept_cannot_pause(ask, weather):
    with pytest.raises(AgentError) as failed:
        ask("tool", PARIS, tools=[weather(approval=True)], context={"keep": lambda state: False})

    assert failed.value.code is ErrorCode.OUTPUT_TOO_LARGE


# Going on.


def test_what_was_said_before_its_worker_died_is_not_said_again(ask, service, weather, kept):
    service.will_answer(200, "Sunny")
    tools = [weather()]
    ask("tool", PARIS, tools=tools)
    # The states: before the first answer, with it, and with what the tool said.
    before_the_last_answer = kept[2]
    service.asked.clear()

    result = ask("tool", PARIS, tools=tools, context={"kept": before_the_last_answer, "attempt": 2})

    assert result.content == "It says: Sunny"
    assert service.asked == []


def test_a_call_of_which_nobody_knows_the_result_is_made_again(ask, service, weather, kept):
    service.will_answer(200, "Sunny")
    ask("tool", PARIS, tools=[weather()])
    first = service.asked[0].headers["Idempotency-Key"]

    ask("tool", PARIS, tools=[weather()], context={"kept": kept[1], "attempt": 2})

    assert [each.headers["Idempotency-Key"] for each in service.asked] == [first, first]


def test_a_session_remembers_what_was_said(ask, models):
    first = ask("echo", "I am Ada.", context={"history": ""})

    second = ask("echo", "Who am I?", context={"history": first.history})

    said = [text_of(each) for each in models.asked[-1]["messages"]]
    assert said == ["I am Ada.", "echo: I am Ada.", "Who am I?"]
    assert "Who am I?" in second.history


@pytest.mark.parametrize("known", ["kept", "history"])
def test_what_was_said_in_another_form_fails_the_run(ask, models, known):
    with pytest.raises(AgentError, match="begin a new session") as failed:
        ask("echo", context={known: '[{"kind": "telegram"}]'})

    assert failed.value.code is ErrorCode.REJECTED
    assert models.asked == []


def test_without_a_session_nothing_is_remembered(ask):
    assert ask("echo").history is None


def test_a_session_forgets_what_there_is_no_room_for(ask, make_context, monkeypatch):
    monkeypatch.setattr("worker.agents.llm.memory.MOST", 3000)
    history = ""
    for number in range(10):
        run_id = replace(make_context(), run_id=make_context().run_id).run_id
        run_id = type(run_id)(int=run_id.int + number)
        context = {"history": history, "run_id": run_id}
        history = ask("echo", f"Message {number}", context=context).history

    assert len(history) <= 3000
    assert "Message 9" in history
    assert "Message 0" not in history
