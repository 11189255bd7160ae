"""What an `llm` agent can be told: which model, what with, and how far it may go."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from shared.placeholders import PLACEHOLDER
from worker.agents import config
from worker.agents.http_schema import whole_url
from worker.agents.llm import json_schemas
from worker.agents.llm.tools_schema import ASK_PERSON, McpServerSchema, ToolSchema

#: Each with the secret that it takes its key from, where a configuration names none.
PROVIDERS = {
    "openai": "OPENAI_API_KEY",
    "openai-chat": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "ollama": None,
}
OUTPUT_MODES = ("tool", "native", "prompted")


def provider_of(model: str) -> str:
    """The provider that *model*, as in `openai:gpt-5-mini`, begins with."""
    return model.partition(":")[0]


def model_of(model: str) -> str:
    """What the provider of *model*, as in `openai:gpt-5-mini`, calls it."""
    return model.partition(":")[2]


def _model(value: str) -> None:
    provider, colon, name = value.partition(":")
    if provider not in PROVIDERS or not colon or not name.strip():
        raise ValidationError(
            "Give provider:model, as in openai:gpt-5-mini; the providers are"
            f" {', '.join(PROVIDERS)}. What speaks like OpenAI is openai-chat with a baseUrl."
        )


def _api_key(value: str) -> None:
    if not PLACEHOLDER.fullmatch(value):
        raise ValidationError("Name the key, never write it: ${secret:NAME}.")


class LimitsSchema(config.ConfigSchema):
    """How far one attempt may go."""

    requests = config.number(fields.Integer, 1, 1000, strict=True, load_default=50)
    toolCalls = config.number(fields.Integer, 0, 10_000, strict=True, load_default=200)  # noqa: N815
    totalTokens = config.number(  # noqa: N815
        fields.Integer, 1, 100_000_000, strict=True, load_default=None
    )
    costUsd = config.number(  # noqa: N815
        fields.Decimal, 0.000001, 1_000_000, places=6, load_default=None
    )


class PriceSchema(config.ConfigSchema):
    """What a million tokens cost, in US dollars, where that is not known otherwise."""

    inputPerMillion = config.number(  # noqa: N815
        fields.Decimal, 0, 1_000_000, required=True
    )
    outputPerMillion = config.number(  # noqa: N815
        fields.Decimal, 0, 1_000_000, required=True
    )
    cacheReadPerMillion = config.number(  # noqa: N815
        fields.Decimal, 0, 1_000_000, load_default=None
    )
    cacheWritePerMillion = config.number(  # noqa: N815
        fields.Decimal, 0, 1_000_000, load_default=None
    )


class LlmSchema(config.ConfigSchema):
    """Which model, what with, and how far it may go."""

    model = config.text(200, config.without_secrets, _model, required="Give a model to ask.")
    baseUrl = config.text(2000, config.without_secrets, whole_url, load_default=None)  # noqa: N815
    apiKey = config.text(200, _api_key, load_default=None)  # noqa: N815
    instructions = config.text(100_000, config.without_secrets, load_default=None)
    temperature = config.number(fields.Float, 0, 2, load_default=None)
    maxTokens = config.number(fields.Integer, 1, 1_000_000, strict=True, load_default=None)  # noqa: N815
    outputSchema = fields.Dict(  # noqa: N815
        load_default=None,
        validate=json_schemas.of_an_object,
        error_messages=config.says("Give a JSON schema of an object."),
    )
    outputMode = fields.String(  # noqa: N815
        load_default="tool",
        validate=validate.OneOf(OUTPUT_MODES, error=f"Choose one of {', '.join(OUTPUT_MODES)}."),
    )
    limits = fields.Nested(LimitsSchema, load_default=lambda: LimitsSchema().load({}))
    price = fields.Nested(PriceSchema, load_default=None)
    tools = fields.List(
        fields.Nested(ToolSchema),
        load_default=list,
        validate=validate.Length(max=100, error="Give at most 100 tools."),
        error_messages=config.says("Give a list of tools."),
    )
    mcpServers = fields.List(  # noqa: N815
        fields.Nested(McpServerSchema),
        load_default=list,
        validate=validate.Length(max=20, error="Give at most 20 servers."),
        error_messages=config.says("Give a list of servers."),
    )
    askPerson = config.flag(load_default=False)  # noqa: N815

    @validates_schema
    def _makes_sense(self, data: dict[str, Any], **_: Any) -> None:
        if provider_of(data.get("model", "")) == "ollama" and data.get("baseUrl") is None:
            raise ValidationError(
                {"baseUrl": ["Say where Ollama is, as in http://ollama.internal:11434/v1."]}
            )
        for key in ("tools", "mcpServers"):
            names = [each["name"] for each in data.get(key, [])]
            for name in names:
                if names.count(name) > 1:
                    raise ValidationError({key: [f"There are two called {name}."]})
        tools = [ASK_PERSON, *(tool["name"] for tool in data.get("tools", []))]
        servers = [server["name"] for server in data.get("mcpServers", [])]
        for server in servers:
            # Whatever it offers is called so.
            for other in (*tools, *(f"{each}_" for each in servers if each != server)):
                if other.startswith(f"{server}_"):
                    says = f"{other} begins as the tools of {server} do; name that otherwise."
                    raise ValidationError({"mcpServers": [says]})
