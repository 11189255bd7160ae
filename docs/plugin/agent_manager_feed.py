"""The kind `feed`: tells what is new in an RSS or Atom feed since the previous success."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from marshmallow import Schema, fields

from shared.states import ErrorCode
from worker.agents import config
from worker.agents.connection import Request, exchange
from worker.agents.http_schema import HEADER_VALUE, whole_url
from worker.agents.output import cap
from worker.agents.placeholders import expand, redact
from worker.agents.protocol import AgentError, Context, Result

# Once it is read, XML takes up to forty times its size; and a worker has many threads.
MOST_READ = 2 * 1024 * 1024
MOST_ENTRIES = 2000
LONGEST_TITLE, LONGEST_LINK = 300, 2000
TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
ROOTS = {"rss", "RDF", "feed"}
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
# Entities, which can grow without bounds and name files, are declared in a document type, and that
# comes before the first element. No part of this can match in two ways, so it takes linear time.
DOCTYPE = re.compile(rb"(?:\xef\xbb\xbf)?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


class FeedSchema(config.ConfigSchema):
    """Which feed, how to get in, and how many entries to tell at most."""

    url = config.text(
        2000, config.without_secrets, whole_url, required="Give the URL of the feed to read."
    )
    authorization = config.text(1024, config.with_secrets, load_default=None)
    mostEntries = config.number(fields.Integer, 1, 200, strict=True, load_default=20)  # noqa: N815


@dataclass(frozen=True)
class Entry:
    """One entry of a feed; *at* is None where it does not say when it was published."""

    title: str
    link: str
    at: datetime | None

    def __str__(self) -> str:
        day = "undated" if self.at is None else f"{self.at.date()}"
        return f"- {day}: {self.title or 'untitled'} {self.link}".rstrip()


class FeedAgent:
    """Answers with its message, and below it a line for each entry that is new."""

    config_schema: ClassVar[type[Schema]] = FeedSchema
    admin_only: ClassVar[bool] = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._url = urlsplit(config["url"])
        self._origin = f"{self._url.scheme}://{self._url.netloc}"
        self._authorization: str | None = config["authorization"]
        self._most: int = config["mostEntries"]

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with what is newer than the fire time of the previous success."""
        since = context.previous_success
        entries = _entries(self._fetch(context))
        # What has no date may be new: better told twice than never.
        new = [each for each in entries if not (since and each.at) or each.at > since]
        lines = [str(each) for each in new[: self._most]] or ["Nothing is new."]
        if len(new) > self._most:
            lines.append(f"- and {len(new) - self._most} more")
        content = redact("\n".join([message, "", *lines]), context.secrets.values())
        return Result(
            content=cap(content, context.output_limit),
            metadata={"entries": len(entries), "newEntries": len(new)},
        )

    def _fetch(self, context: Context) -> bytes:
        request = Request(method="GET", url=self._url, headers=self._headers(context), body=None)
        answer = exchange(
            request,
            most=MOST_READ,
            allow_private=context.allow_private_addresses,
            stop=context.stop,
        )
        if answer.status != HTTPStatus.OK:
            # Neither its text nor where it leads to: either may show what we have sent.
            raise AgentError(
                f"{self._origin} answered {answer.status}; only 200 will do, and no redirect is"
                " followed.",
                retryable=answer.status in TRY_AGAIN or answer.status >= 500,
            )
        if not answer.whole:
            raise AgentError(f"The feed of {self._origin} is longer than {MOST_READ:,} bytes.")
        return answer.body

    def _headers(self, context: Context) -> dict[str, str]:
        headers = {"accept": "application/atom+xml, application/rss+xml, application/xml, text/xml"}
        if self._authorization is not None:
            headers["authorization"] = expand(self._authorization, context.secrets)
            if not HEADER_VALUE.fullmatch(headers["authorization"]):
                raise AgentError(
                    "The secret in authorization is not one line of Latin text.",
                    code=ErrorCode.REJECTED,
                )
        return headers


def _entries(document: bytes) -> list[Entry]:
    """The first entries of a feed. Raises `AgentError` if it is none, or a dangerous one."""
    # A NUL means UTF-16, in which the pattern would see nothing.
    if b"\0" in document or DOCTYPE.match(document):
        raise AgentError("The feed is in UTF-16 or declares a document type: that is not read.")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - there are no entities in it
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise AgentError(f"The answer is not XML: {error}.") from None
    if root.tag.rpartition("}")[2] not in ROOTS:
        raise AgentError("The answer is XML, but neither RSS nor Atom.")
    # Only where they belong: looking for them everywhere, in each other too, could take for ever.
    places = ("{*}channel/{*}item", "{*}item", "{*}entry")
    found = (element for place in places for element in root.iterfind(place))
    return [_entry(element) for element in islice(found, MOST_ENTRIES)]


def _entry(element: ElementTree.Element) -> Entry:
    space = element.tag[: element.tag.rfind("}") + 1]
    title = element.find(f"{space}title")
    links = (
        link.get("href") or link.text or ""
        for link in element.findall(f"{space}link")
        if link.get("rel", "alternate") == "alternate"
    )
    dates = (f"{space}pubDate", f"{space}published", f"{space}updated", f"{DUBLIN_CORE}date")
    return Entry(
        title="" if title is None else _line("".join(title.itertext()), LONGEST_TITLE),
        link=_line(next(links, ""), LONGEST_LINK),
        at=next(filter(None, (_instant(element.findtext(name, "")) for name in dates)), None),
    )


def _line(text: str, longest: int) -> str:
    return " ".join(text.split())[:longest]


def _instant(text: str) -> datetime | None:
    """The instant that Atom's or RSS's way of writing one means, if it is one."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            instant = read(text[:100].strip())
            return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None
