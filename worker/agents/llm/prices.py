"""What a model's answers cost: as its agent says, or as the list prices are known."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RunUsage

from shared.attempts import Usage

_MILLION = 1_000_000


def is_listed(model: str, base_url: str | None) -> bool:
    """Whether there is a list price for what *model* answers."""
    provider, _, name = model.partition(":")
    answer = ModelResponse(
        parts=[],
        model_name=name,
        provider_name=provider.removesuffix("-chat"),
        provider_url=base_url,
    )
    try:
        answer.cost()
    except LookupError:
        return False
    return True


def usage(before: RunUsage, after: RunUsage, price: Mapping[str, Any] | None) -> Usage:
    """What was used up from *before* to *after*; what the provider did not say is unknown."""
    used = after - before
    # No answer takes no tokens at all: it failed before its provider said how many.
    if used.unmeasured_requests or (used.requests and not used.total_tokens):
        return Usage(requests=used.requests, tool_calls=used.tool_calls)
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
        reasoning_tokens=used.output_reasoning_tokens,
        requests=used.requests,
        tool_calls=used.tool_calls,
        cost_usd=_cost(before, after) if price is None else _at(price, used),
    )


def _cost(before: RunUsage, after: RunUsage) -> Decimal | None:
    # Of what costs nothing the difference would be unknown.
    return after.cost if after.cost == 0 else (after - before).cost


def _at(price: Mapping[str, Any], used: RunUsage) -> Decimal:
    plain: Decimal = price["inputPerMillion"]
    read, write = price["cacheReadPerMillion"], price["cacheWritePerMillion"]
    fresh = used.input_tokens - used.cache_read_tokens - used.cache_write_tokens
    in_millions: Decimal = (
        fresh * plain
        + used.cache_read_tokens * (plain if read is None else read)
        + used.cache_write_tokens * (plain if write is None else write)
        + used.output_tokens * price["outputPerMillion"]
    )
    return in_millions / _MILLION
