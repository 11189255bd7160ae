"""Secrets: put in where a configuration names them, taken out of whatever is recorded."""

import re
from collections.abc import Iterable, Mapping

from shared.states import ErrorCode
from worker.agents.protocol import AgentError

BEGIN = "${secret:"
PLACEHOLDER = re.compile(r"\$\{secret:([A-Za-z0-9_-]{1,128})\}", re.ASCII)
# Anything shorter is a word that texts have for reasons of their own.
SHORTEST = 6


def well_formed(text: str) -> bool:
    """Whether every placeholder in *text* is one that a secret can fill."""
    return BEGIN not in PLACEHOLDER.sub("", text)


def expand(text: str, secrets: Mapping[str, str]) -> str:
    """*text* with each `${secret:NAME}` replaced by that secret."""
    return PLACEHOLDER.sub(lambda found: secret(found[1], secrets), text)


def secret(name: str, secrets: Mapping[str, str]) -> str:
    """The secret of that name. Raises `AgentError` where the worker has none."""
    try:
        return secrets[name]
    except KeyError:
        raise AgentError(
            f"This worker has no secret {name}, which the agent's configuration names.",
            code=ErrorCode.REJECTED,
        ) from None


def redact(text: str, secrets: Iterable[str]) -> str:
    """*text* with `***` wherever it shows one of *secrets*, or a line of one."""
    shown = {line.strip() for value in secrets for line in (value, *value.splitlines())}
    # The longest first: a secret may be the beginning of another.
    worth_hiding = sorted((each for each in shown if len(each) >= SHORTEST), key=len, reverse=True)
    for each in worth_hiding:
        text = text.replace(each, "***")
    return text
