"""One attempt of an `llm` agent: the model asked, its tools called, until it has answered.

This package is the only one that knows pydantic-ai, and is imported in workers alone.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Mapping
from copy import copy
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    NativeOutput,
    PromptedOutput,
    RunContext,
    StructuredDict,
    ToolApproved,
    ToolDenied,
    ToolOutput,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, ToolCallPart
from pydantic_ai.run import AgentRun
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage, UsageLimits

from shared.attempts import Usage
from shared.states import ErrorCode
from worker.agents.llm import failures, json_schemas, mcp, memory, models, network, person, prices
from worker.agents.llm.schema import model_of
from worker.agents.llm.telling import Teller
from worker.agents.llm.tools import AT_ONCE, MOST_TOLD, Service
from worker.agents.llm.tools_schema import ASK_PERSON
from worker.agents.output import cap
from worker.agents.placeholders import Redactor
from worker.agents.protocol import AgentError, Answer, Ask, Context, Pause, Result

# Of a tool's arguments or an answer that are not as they should be, before the model is given up.
_RETRIES = 2
_DENIED = "A person said no to this call. Do not try it again."
_NOBODY = "This call takes a person, and nobody is to be asked. Do not try it again."
_OUTPUTS = {"tool": ToolOutput, "native": NativeOutput, "prompted": PromptedOutput}


async def hold(message: str, config: Mapping[str, Any], context: Context) -> Result | Pause:
    """Have the model answer *message*. Raises `AgentError`."""
    redactor = Redactor(context.secrets.values())
    try:
        return await Conversation(config, context, redactor).hold(message)
    except Exception as error:
        raise failures.explained(error, config["model"], redactor) from None


class Conversation:
    """What is said between us, a model and its tools."""

    def __init__(self, config: Mapping[str, Any], context: Context, redactor: Redactor) -> None:
        self._config = config
        self._context = context
        self._used, self._told = RunUsage(), RunUsage()
        self._cost: Decimal | None = None
        # As its provider calls it, once it has answered.
        self._model = model_of(config["model"])
        self._redactor = redactor
        self._teller = Teller(context.report, self._redactor)

    async def hold(self, message: str) -> Result | Pause:
        """Ask the model until it has answered, or until a person is to be asked."""
        kept, answered = _loaded(self._context.kept), self._context.answers
        agent, said = self._agent(), kept or _loaded(self._context.history)
        if kept:
            output, said = await self._go_on(agent, None, said, _results(kept, answered))
        else:
            output, said = await self._go_on(agent, message, said, None)
        while isinstance(output, DeferredToolRequests) and self._context.denies:
            no = Answer(approved=False, says=_NOBODY)
            denied = {call.tool_call_id: no for call in _deferred(output)}
            output, said = await self._go_on(agent, None, said, _results(said, denied))
        return self._outcome(output, said)

    async def _go_on(
        self,
        agent: Agent[None, Any],
        message: str | None,
        said: list[ModelMessage],
        results: DeferredToolResults | None,
    ) -> tuple[Any, list[ModelMessage]]:
        """The model's answer, or what a person is to approve; and all that was said by then."""
        try:
            async with agent.iter(
                message,
                message_history=said or None,
                deferred_tool_results=results,
                usage=self._used,
                usage_limits=self._limits(),
                run_id=_next_id(self._context.run_id, said),
                conversation_id=str(self._context.session_id),
            ) as run:
                async for node in run:
                    await self._step(node, run)
                assert run.result is not None
                return run.result.output, run.all_messages()
        finally:
            self._settle()

    def _agent(self) -> Agent[None, Any]:
        context, config = self._context, self._config
        client, turns = network.client(context), asyncio.Semaphore(AT_ONCE)
        agent = Agent[None, Any](
            models.build(config, context, client),
            output_type=self._output_type(),
            instructions=config["instructions"],
            model_settings=_settings(config),
            retries=_RETRIES,
            tools=[
                *(Service(tool, context, client, turns).as_tool() for tool in config["tools"]),
                *([person.tool()] if config["askPerson"] else ()),
            ],
            toolsets=[mcp.toolset(server, context, turns) for server in config["mcpServers"]],
        )
        if config["outputSchema"] is not None:
            agent.output_validator(self._as_asked)
        return agent

    def _output_type(self) -> Any:
        schema = self._config["outputSchema"]
        output = (
            str if schema is None else _OUTPUTS[self._config["outputMode"]](StructuredDict(schema))
        )
        asks = self._config["askPerson"] or any(
            each["approval"] for each in (*self._config["tools"], *self._config["mcpServers"])
        )
        return [output, DeferredToolRequests] if asks else output

    async def _as_asked(self, context: RunContext[None], output: Any) -> Any:
        wrong = None if context.partial_output else self._mistakes(output)
        if wrong:
            raise ModelRetry(wrong)
        return output

    def _mistakes(self, output: Any) -> str | None:
        if isinstance(output, DeferredToolRequests):
            return None
        return json_schemas.mistakes(output, self._config["outputSchema"])

    def _limits(self) -> UsageLimits:
        limits = self._config["limits"]
        return UsageLimits(
            request_limit=limits["requests"],
            tool_calls_limit=limits["toolCalls"],
            total_tokens_limit=limits["totalTokens"],
        )

    async def _step(self, node: Any, run: AgentRun[None, Any]) -> None:
        events: AsyncIterable[Any]
        if Agent.is_model_request_node(node):
            # The calls that were made.
            self._settle()
            self._keep([*run.all_messages(), node.request])
            self._teller.asked(self._used.requests + 1)
            async with node.stream(run.ctx) as events:
                await self._teller.tell(events)
        elif Agent.is_call_tools_node(node):
            self._model = node.model_response.model_name or self._model
            used = self._settle()
            if _broke_off(node.model_response):
                # Neither are its calls made, nor would it be kept: there is no going on from it.
                raise AgentError(f"{self._config['model']}: its answer broke off.", retryable=True)
            # Where we go on from a person's answers, it had answered before; and they hold until
            # this attempt keeps something, so not before they have been made use of.
            if used.requests:
                self._keep(run.all_messages())
                self._teller.answered(node.model_response, used)
                self._check_cost(used)
            async with node.stream(run.ctx) as events:
                await self._teller.tell(events)

    def _settle(self) -> Usage:
        """Report what was used up since the last time."""
        used = prices.usage(self._told, self._used, self._config["price"])
        self._told = copy(self._used)
        if used.requests or used.tool_calls:
            self._context.use(used, self._model)
        if used.cost_usd is not None:
            self._cost = (self._cost or 0) + used.cost_usd
        return used

    def _check_cost(self, used: Usage) -> None:
        limit, model = self._config["limits"]["costUsd"], self._config["model"]
        if limit is None:
            return
        if used.cost_usd is None:
            because = (
                f"{model} does not say what its answer used up."
                if used.output_tokens is None
                else f"nobody knows the price of {model}. Give its `price`."
            )
            raise AgentError(f"limits.costUsd cannot be kept: {because}", code=ErrorCode.REJECTED)
        if self._cost is not None and self._cost > limit:
            raise AgentError(
                f"The attempt has cost {self._cost:f} USD, more than its limit of"
                f" {limit.normalize():f}.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )

    def _keep(self, messages: list[ModelMessage]) -> bool:
        return self._context.keep(memory.dumped(messages, self._redactor))

    def _outcome(self, output: Any, messages: list[ModelMessage]) -> Result | Pause:
        if isinstance(output, DeferredToolRequests):
            return self._pause(output, messages)
        answer = _last_answer(messages)
        content = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        remembers = self._context.history is not None
        return Result(
            content=cap(self._redactor.text(content), self._context.output_limit),
            model=answer.model_name,
            metadata={"finishReason": answer.finish_reason},
            history=memory.shortened(messages, self._redactor) if remembers else None,
        )

    def _pause(self, asked: DeferredToolRequests, messages: list[ModelMessage]) -> Pause:
        if not self._keep(messages):
            raise AgentError(
                "The conversation is too long to be kept while a person is asked.",
                code=ErrorCode.OUTPUT_TOO_LARGE,
            )
        # In the order in which the model wants them.
        order = [call.tool_call_id for call in _last_answer(messages).tool_calls]
        calls = sorted(_deferred(asked), key=lambda call: order.index(call.tool_call_id))
        ids = [call.tool_call_id for call in calls]
        if len(set(ids)) < len(ids):
            # One answer would be that to both.
            raise AgentError(f"{self._config['model']} has two calls of one id.", retryable=True)
        if any(len(str(call.args)) > MOST_TOLD for call in calls):
            raise AgentError(
                "The model wants to call a tool with more than a person could read.",
                code=ErrorCode.OUTPUT_TOO_LARGE,
            )
        return Pause(
            asks=[
                Ask(
                    id=call.tool_call_id,
                    tool=call.tool_name,
                    arguments=call.args_as_dict(),
                    question=person.question(call),
                )
                for call in calls
            ]
        )


def _settings(config: Mapping[str, Any]) -> ModelSettings:
    settings = ModelSettings()
    if config["temperature"] is not None:
        settings["temperature"] = config["temperature"]
    if config["maxTokens"] is not None:
        settings["max_tokens"] = config["maxTokens"]
    return settings


def _results(said: list[ModelMessage], answers: Mapping[str, Answer]) -> DeferredToolResults | None:
    """*answers* to the calls of the last answer that were left open, if there are any.

    Calls beside them that took no approval have been made by then, and their results stand behind.
    """
    answered = [number for number, each in enumerate(said) if isinstance(each, ModelResponse)]
    if not answered:
        return None
    response, behind = said[answered[-1]], said[answered[-1] + 1 :]
    assert isinstance(response, ModelResponse)
    made = {getattr(part, "tool_call_id", None) for each in behind for part in each.parts}
    results = DeferredToolResults()
    for call in response.tool_calls:
        id = call.tool_call_id
        if id in made or id not in answers:
            continue
        if call.tool_name == ASK_PERSON:
            results.calls[id] = person.heard(answers[id])
        else:
            results.approvals[id] = _decision(answers[id])
    return results if results.calls or results.approvals else None


def _deferred(asked: DeferredToolRequests) -> list[ToolCallPart]:
    """The calls that wait for a person, to approve them or to answer."""
    return [*asked.approvals, *asked.calls]


def _next_id(run_id: UUID, said: list[ModelMessage]) -> str:
    """An id for what is to be said: of the run, and new."""
    parts = {each.run_id for each in said if each.run_id and each.run_id.startswith(str(run_id))}
    return f"{run_id}.{len(parts) + 1}"


def _decision(answer: Answer) -> bool | ToolApproved | ToolDenied:
    return True if answer.approved else ToolDenied(answer.says or _DENIED)


def _last_answer(messages: list[ModelMessage]) -> ModelResponse:
    return [each for each in messages if isinstance(each, ModelResponse)][-1]


def _broke_off(answer: ModelResponse) -> bool:
    """Whether it ended without what its provider sends at its end.

    That is why it ended, or of some that speak like OpenAI at least what was used up.
    """
    said_why = {"finish_reason", "refusal"} & (answer.provider_details or {}).keys()
    return not said_why and (answer.finish_reason is None or answer.usage.unmeasured_requests > 0)


def _loaded(said: str | None) -> list[ModelMessage]:
    try:
        return ModelMessagesTypeAdapter.validate_json(said) if said else []
    except ValueError:
        raise AgentError(
            "What was said before is in no form that this release reads: retry the run, or begin a"
            " new session.",
            code=ErrorCode.REJECTED,
        ) from None
