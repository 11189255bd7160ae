"""The models that there are, as the SDKs of their providers reach them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from google import genai
from google.genai.client import DebugConfig
from google.genai.types import HttpOptions, HttpRetryOptions
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

from shared.settings import forget
from shared.states import ErrorCode
from worker.agents.llm.schema import PROVIDERS, provider_of
from worker.agents.placeholders import expand
from worker.agents.protocol import AgentError, Context

# The SDKs would send these along to whatever address an agent names.
forget("ANTHROPIC_CUSTOM_HEADERS", "OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
#: Named, or the SDKs would take others from the environment of the worker.
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
GOOGLE = "https://generativelanguage.googleapis.com"
# Of one request, before it counts as failed: a long conversation is not to be lost to a hiccup.
_RETRIES = 2
# What Google's SDK tries again. Not 429: it would not wait for as long as it is told to.
_HICCUPS = [408, 500, 502, 503, 504]
# What some servers that want no key want to be given.
_NO_KEY = "none"


def build(config: Mapping[str, Any], context: Context, client: httpx2.AsyncClient) -> Model:
    """The model of *config*, asked through *client*. Raises `AgentError` if that cannot be."""
    return _model(config["model"], config["baseUrl"], key(config, context), client)


def key(config: Mapping[str, Any], context: Context) -> str:
    """What the provider knows us by. Raises `AgentError` if the worker does not have it."""
    if config["apiKey"] is not None:
        return expand(config["apiKey"], context.secrets)
    if config["baseUrl"] is not None:
        # Who says where a provider is does not get the key that is meant for the real one.
        return _NO_KEY
    name = PROVIDERS[provider_of(config["model"])]
    if name is None or name not in context.secrets:
        raise AgentError(
            f"This worker has no secret {name}: set AGENT_MANAGER_SECRET_{name}, or name another"
            " as `apiKey`.",
            code=ErrorCode.REJECTED,
        )
    return context.secrets[name]


@lru_cache(maxsize=256)
def _model(name: str, base_url: str | None, key: str, client: httpx2.AsyncClient) -> Model:
    provider, _, model = name.partition(":")
    match provider:
        case "anthropic":
            anthropic = AsyncAnthropic(
                api_key=key,
                base_url=base_url or ANTHROPIC,
                http_client=client,
                max_retries=_RETRIES,
                timeout=client.timeout,
            )
            return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=anthropic))
        case "google":
            return _google(model, base_url, key, client)
    openai = AsyncOpenAI(
        api_key=key,
        base_url=base_url or OPENAI,
        http_client=client,
        max_retries=_RETRIES,
        timeout=client.timeout,
    )
    if provider == "ollama":
        return OllamaModel(model, provider=OllamaProvider(openai_client=openai))
    asked = OpenAIChatModel if provider == "openai-chat" else OpenAIResponsesModel
    return asked(model, provider=OpenAIProvider(openai_client=openai))


def _google(model: str, base_url: str | None, key: str, client: httpx2.AsyncClient) -> Model:
    options = HttpOptions(
        base_url=base_url or GOOGLE,
        httpx_async_client=client,
        retry_options=HttpRetryOptions(
            attempts=1 + _RETRIES, initial_delay=0.5, http_status_codes=_HICCUPS
        ),
    )
    google = genai.Client(
        # Named as well, or variables could lead it to Vertex AI, or to files.
        vertexai=False,
        api_key=key,
        http_options=options,
        debug_config=DebugConfig(client_mode=None),
    )
    return GoogleModel(model, provider=GoogleProvider(client=google))
