"""What the model of an `llm` agent may do: ask services, and use the tools of MCP servers."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from worker.agents import config
from worker.agents.http_schema import headers, whole_url
from worker.agents.llm import json_schemas

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: The tool by which a model asks a person.
ASK_PERSON = "ask_person"
ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]{0,63})\}")
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_SERVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


def _tool_name(value: str) -> None:
    if not _TOOL_NAME.fullmatch(value):
        raise ValidationError("A tool's name is letters, digits, _ and -, at most 64.")
    if value == ASK_PERSON:
        raise ValidationError(
            f"{ASK_PERSON} is the tool that `askPerson` gives; name it otherwise."
        )


def _server_name(value: str) -> None:
    if not _SERVER_NAME.fullmatch(value):
        raise ValidationError("A server's name is small letters, digits and _, at most 32.")


def _url_with_arguments(value: str) -> None:
    plain = ARGUMENT.sub("x", value)
    whole_url(plain)
    before_path = value.split("/", 3)[:3]
    if any("{" in part for part in before_path):
        raise ValidationError("An argument goes into the path or the query of the URL only.")


class ToolSchema(config.ConfigSchema):
    """A service that the model may ask."""

    name = config.text(64, _tool_name, required="Give the tool a name.")
    description = config.text(4000, required="Say what the tool is for: the model reads it.")
    parameters = fields.Dict(
        load_default=lambda: {"type": "object", "properties": {}},
        validate=json_schemas.of_an_object,
        error_messages=config.says("Give a JSON schema of an object."),
    )
    method = fields.String(
        load_default="POST",
        validate=validate.OneOf(METHODS, error=f"Choose one of {', '.join(METHODS)}."),
    )
    url = config.text(
        2000, config.without_secrets, _url_with_arguments, required="Give the URL to ask."
    )
    headers = headers()
    timeoutSeconds = config.number(fields.Integer, 1, 3600, strict=True, load_default=60)  # noqa: N815
    approval = config.flag(load_default=False)

    @validates_schema
    def _has_the_arguments(self, data: dict[str, Any], **_: Any) -> None:
        known = data.get("parameters", {}).get("properties", {})
        for name in ARGUMENT.findall(data.get("url", "")):
            if name not in known:
                raise ValidationError({"url": [f"There is no parameter {name} to put there."]})


class McpServerSchema(config.ConfigSchema):
    """A server of tools: one that is asked over HTTP, or a program that the worker starts."""

    name = config.text(32, _server_name, required="Give the server a name.")
    url = config.text(2000, config.without_secrets, whole_url, load_default=None)
    headers = headers()
    argv = fields.List(
        config.text(4096, config.without_secrets),
        load_default=None,
        validate=validate.Length(1, 100, error="Give a program and its arguments, at most 100."),
        error_messages=config.says("Give a list of texts: a program and its arguments."),
    )
    env = config.environment()
    tools = fields.List(
        config.text(128),
        load_default=None,
        validate=validate.Length(1, 200, error="Give 1 to 200 names, or none for all tools."),
        error_messages=config.says("Give a list of the names of tools."),
    )
    approval = fields.List(
        config.text(128),
        load_default=list,
        validate=validate.Length(max=200, error="Give at most 200 names; * stands for all."),
        error_messages=config.says("Give a list of the names of tools; * stands for all."),
    )

    @validates_schema
    def _is_one_or_the_other(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("url") is None) == (data.get("argv") is None):
            raise ValidationError({"url": ["Give either `url`, or `argv` for a program."]})
        if data.get("argv") is None and data.get("env"):
            raise ValidationError({"env": ["Only a program has an environment."]})
        if data.get("url") is None and data.get("headers"):
            raise ValidationError({"headers": ["Only a URL is asked with headers."]})
