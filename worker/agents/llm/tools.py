"""Services as tools of a model: asked with the arguments that it chose."""

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed
from pydantic_ai.messages import ModelResponse

from shared.states import ErrorCode
from worker.agents.http_phrases import phrase
from worker.agents.http_schema import HEADER_VALUE
from worker.agents.llm import json_schemas
from worker.agents.llm.tools_schema import ARGUMENT
from worker.agents.output import cap
from worker.agents.placeholders import Redactor, expand
from worker.agents.protocol import AgentError, Context

#: So much of an answer a model is told.
MOST_TOLD = 64 * 1024
#: So many calls of one run are made at a time, however many its model wants at once.
AT_ONCE = 10
_EXCERPT = 500


class Service:
    """A tool that asks a service, once it is its turn among the calls of its run."""

    def __init__(
        self,
        tool: Mapping[str, Any],
        context: Context,
        client: httpx2.AsyncClient,
        turns: asyncio.Semaphore,
    ) -> None:
        self._tool = tool
        self._run_id = context.run_id
        self._client = client
        self._turns = turns
        self._headers = filled_in(tool, context.secrets)
        self._redactor = Redactor(context.secrets.values())

    def as_tool(self) -> Tool[None]:
        """The tool as a model is offered it."""
        tool: Tool[None] = Tool.from_schema(
            self._call,
            name=self._tool["name"],
            description=self._tool["description"],
            json_schema=self._tool["parameters"],
            takes_ctx=True,
            args_validator=self._check,
        )
        tool.requires_approval = self._tool["approval"]
        return tool

    async def _check(self, context: RunContext[None], **arguments: Any) -> None:
        wrong = json_schemas.mistakes(arguments, self._tool["parameters"])
        if wrong:
            raise ModelRetry(wrong)

    async def _call(self, context: RunContext[None], **arguments: Any) -> str:
        try:
            request = self._request(arguments, self._once(context, arguments))
        except httpx2.InvalidURL as error:
            # It may be the arguments that make it too long.
            raise ToolFailed(f"There is no such URL: {error}.") from None
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        try:
            async with self._turns, asyncio.timeout(self._tool["timeoutSeconds"]):
                answer = await self._client.send(request)
        except (TimeoutError, httpx2.TimeoutException):
            seconds = self._tool["timeoutSeconds"]
            raise ToolFailed(f"{origin} did not answer within {seconds} seconds.") from None
        except httpx2.TransportError as error:
            says = str(error) or type(error).__name__
            raise ToolFailed(f"{origin} could not be asked: {says}") from None
        text = self._redactor.text(answer.text)
        if not answer.is_success:
            excerpt = " ".join(text[:_EXCERPT].split())
            status = answer.status_code
            raise ToolFailed(f"{origin} answered {status} {phrase(status)}: {excerpt}")
        return cap(text, MOST_TOLD)

    def _once(self, context: RunContext[None], arguments: dict[str, Any]) -> str:
        """What tells a service that it was asked this before, by an attempt that was interrupted.

        The ids of calls alone would not do: some models number them anew in each answer.
        """
        answers = sum(isinstance(each, ModelResponse) for each in context.messages)
        asked = [str(self._run_id), answers, context.tool_call_id, self._tool["name"], arguments]
        return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]

    def _request(self, arguments: dict[str, Any], once: str) -> httpx2.Request:
        """The request with *arguments*: some in the URL, the others behind it or in the body."""
        in_url = set(ARGUMENT.findall(self._tool["url"]))
        for name in in_url:
            if arguments.get(name) in (None, ""):
                # It would be another place.
                raise ModelRetry(f"Give {name}: it stands in the URL.")
        url = ARGUMENT.sub(lambda found: _quoted(arguments.get(found[1])), self._tool["url"])
        others = {name: value for name, value in arguments.items() if name not in in_url}
        headers = {"user-agent": "agent-manager", **self._headers, "idempotency-key": once}
        method, timeout = self._tool["method"], self._tool["timeoutSeconds"]
        if method in ("GET", "DELETE"):
            asked = "&".join(f"{quote(name, safe='')}={_quoted(others[name])}" for name in others)
            if asked:
                url += ("&" if urlsplit(url).query else "?") + asked
            return self._client.build_request(method, url, headers=headers, timeout=timeout)
        return self._client.build_request(
            method, url, json=others, headers=headers, timeout=timeout
        )


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # Neither one dot nor two are to lead out of the folder that was meant.
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def filled_in(tool: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """The headers of *tool* with their secrets. Raises `AgentError` if they cannot be sent."""
    headers = {name.lower(): expand(value, secrets) for name, value in tool["headers"].items()}
    for name, value in headers.items():
        if not HEADER_VALUE.fullmatch(value):
            raise AgentError(
                f"The secret in the header {name} of the tool {tool['name']} is not one line of"
                " Latin text.",
                code=ErrorCode.REJECTED,
            )
    return headers
