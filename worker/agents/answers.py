"""Answers that say more than their content: what they cost, and which model gave them."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from worker.agents.output import cap
from worker.agents.protocol import Result

LONGEST_MODEL = 200
MOST_TOKENS = 2**31 - 1
MOST_USD = 10**6


def parse(text: str) -> Mapping[str, Any] | None:
    """The object that *text* is, if it is one with a string `content`; None for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and isinstance(document.get("content"), str):
        return document
    return None


def result(content: str, beside: Mapping[str, Any]) -> Result:
    """A result of *content* and what *beside* says of it; what makes no sense there is left out."""
    model, usage = beside.get("model"), beside.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Result(
        content=content,
        model=cap(model, LONGEST_MODEL) if isinstance(model, str) else None,
        input_tokens=_tokens(usage.get("inputTokens")),
        output_tokens=_tokens(usage.get("outputTokens")),
        cost_usd=_usd(usage.get("costUsd")),
    )


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _usd(value: object) -> Decimal | None:
    if type(value) not in (int, float, str):
        return None
    try:
        cost = Decimal(str(value)[:40])
    except InvalidOperation:
        return None
    return round(cost, 10) if cost.is_finite() and 0 <= cost <= MOST_USD else None
