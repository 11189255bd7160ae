"""The kind that asks a service."""

import json
import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from marshmallow import Schema

from shared import clock
from shared.states import ErrorCode
from worker.agents import answers, briefing, polling, signature
from worker.agents.connection import Answer, Request, exchange, reach
from worker.agents.http_phrases import phrase
from worker.agents.http_schema import CHARSET, HEADER_VALUE, HttpSchema
from worker.agents.looks import look
from worker.agents.output import cap
from worker.agents.placeholders import expand, redact, secret
from worker.agents.protocol import AgentError, Context, Finding, Result, Stopped

TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
# So many times the limit of a content: JSON takes more bytes than the content in it.
MOST_READ = 4
EXCERPT = 1024
# While it is polled, a service may be restarted without its work being asked for again.
PATIENCE = 5


class HttpAgent:
    """Sends its message to a service; what the service answers is the answer."""

    config_schema: ClassVar[type[Schema]] = HttpSchema
    admin_only: ClassVar[bool] = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._url = urlsplit(config["url"])
        self._method: str = config["method"]
        self._headers: Mapping[str, str] = config["headers"]
        self._signing_secret: str | None = config["signingSecret"]
        self._poll_seconds: float = config["pollSeconds"]

    @staticmethod
    def secrets(config: Mapping[str, Any]) -> list[str]:
        """What it signs with."""
        return [] if config["signingSecret"] is None else [config["signingSecret"]]

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with what the service answers, now or when it has finished."""
        body = json.dumps({"message": message, **briefing.as_json(context)}).encode()
        headers = self._filled_in(context.secrets)
        answer = self._ask(self._method, self._url, body, headers, context)
        if answer.status == HTTPStatus.ACCEPTED and "Location" in answer.headers:
            answer = self._poll(answer, headers, context)
        return _result(answer, context)

    def check(self, context: Context) -> list[Finding]:
        """Whether there is a service, and something to send it; nothing is sent."""
        return [look("service", self._reach, context), look("headers", self._have_headers, context)]

    def _reach(self, context: Context) -> str:
        reach(self._url, allow_private=context.allow_private_addresses, stop=context.stop)
        return f"{self._url.scheme}://{self._url.netloc} takes connections."

    def _have_headers(self, context: Context) -> str:
        self._filled_in(context.secrets)
        return "The headers can be sent."

    def _filled_in(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The configured headers with their secrets."""
        headers = {name.lower(): expand(value, secrets) for name, value in self._headers.items()}
        for name, value in headers.items():
            if not HEADER_VALUE.fullmatch(value):
                raise AgentError(
                    f"The secret in the header {name} is not one line of Latin text.",
                    code=ErrorCode.REJECTED,
                )
        return headers

    def _ask(
        self,
        method: str,
        url: SplitResult,
        body: bytes | None,
        headers: Mapping[str, str],
        context: Context,
    ) -> Answer:
        """One request and its answer; an answer that says no is an `AgentError`."""
        known = str(context.run_id)
        told = {"accept": "application/json, */*;q=0.5", "user-agent": "agent-manager"}
        if body is not None:
            told["content-type"] = "application/json"
        told |= {**headers, "idempotency-key": known}
        if self._signing_secret is not None:
            key = secret(self._signing_secret, context.secrets)
            told |= signature.headers(key, message_id=known, body=body or b"", now=clock.now())
        answer = exchange(
            Request(method=method, url=url, headers=told, body=body),
            most=MOST_READ * context.output_limit,
            allow_private=context.allow_private_addresses,
            stop=context.stop,
        )
        _judge(
            answer, f"{url.scheme}://{url.netloc}", [*context.secrets.values(), *headers.values()]
        )
        return answer

    def _poll(self, answer: Answer, headers: Mapping[str, str], context: Context) -> Answer:
        """Ask where the service said, until it has finished."""
        url = polling.place(self._url, answer.headers["Location"])
        failures = 0
        while answer.status == HTTPStatus.ACCEPTED:
            wanted = answer.headers.get("Retry-After", "")
            if context.stop.wait(
                polling.pause(wanted, otherwise=self._poll_seconds, now=clock.now())
            ):
                raise Stopped
            try:
                answer = self._ask("GET", url, None, headers, context)
            except AgentError as error:
                failures += 1
                if not error.retryable or failures > PATIENCE:
                    raise
            else:
                failures = 0
                url = polling.place(url, answer.headers.get("Location", url.geturl()))
        return answer


def _judge(answer: Answer, origin: str, hidden: Collection[str]) -> None:
    """Raise `AgentError` for an answer that is not one, showing nothing of what is *hidden*."""
    status = answer.status
    says = f"{origin} answered {status} {phrase(status)}"
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if 300 <= status < 400:
        location = _excerpt(answer.headers.get("Location", "nowhere"), hidden)
        raise AgentError(f"{says}, to {location}: no redirect is followed, configure that URL.")
    if not 200 <= status < 300:
        excerpt = _excerpt(_text(answer), hidden)
        raise AgentError(
            f"{says}: {excerpt}" if excerpt else f"{says}.",
            retryable=status in TRY_AGAIN or status >= 500,
        )
    if encoding != "identity":
        raise AgentError(f"{origin} answered in {encoding}, which it was not asked for.")


def _excerpt(text: str, hidden: Collection[str]) -> str:
    return " ".join(cap(redact(text, hidden)[:EXCERPT], EXCERPT).split())


def _result(answer: Answer, context: Context) -> Result:
    text, beside = _text(answer), None
    if re.fullmatch(r"application/(.*\+)?json", answer.headers.get_content_type()):
        beside = answers.parse(text)
    content = cap(text if beside is None else beside["content"], context.output_limit)
    if not answer.whole:
        content += "\n[… the rest was not read …]"
    return answers.result(redact(content, context.secrets.values()), beside or {})


def _text(answer: Answer) -> str:
    charset = answer.headers.get_content_charset("utf-8")
    try:
        return answer.body.decode(charset if CHARSET.match(charset) else "utf-8", "replace")
    except LookupError:
        return answer.body.decode("utf-8", "replace")
