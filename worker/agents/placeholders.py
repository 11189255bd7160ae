"""Secrets: put in where a configuration names them, taken out of whatever is recorded."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from shared.placeholders import OPENING, PLACEHOLDER
from shared.states import ErrorCode
from worker.agents.protocol import AgentError

# Anything shorter is a word that texts have for reasons of their own.
SHORTEST = 6


def well_formed(text: str) -> bool:
    """Whether every placeholder in *text* is one that a secret can fill."""
    return OPENING not in PLACEHOLDER.sub("", text)


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
    return Redactor(secrets).text(text)


class Redactor:
    """Puts `***` wherever one of *secrets* shows, or a line of one, however it is quoted."""

    def __init__(self, secrets: Iterable[str]) -> None:
        lines = {line.strip() for value in secrets for line in (value, *value.splitlines())}
        worth_hiding = {each for each in lines if len(each) >= SHORTEST}
        # JSON may hold a text that is JSON, as the arguments of a call are.
        for _ in range(2):
            worth_hiding |= {quoted for each in worth_hiding for quoted in _quoted(each)}
        # The longest first: a secret may be the beginning of another.
        self._hidden = sorted(worth_hiding, key=len, reverse=True)

    def text(self, text: str) -> str:
        """*text* without secrets."""
        for each in self._hidden:
            text = text.replace(each, "***")
        return text

    def tree(self, value: Any) -> Any:
        """*value* without secrets in its texts, if it is JSON; anything else stays as it is."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.tree(name): self.tree(each) for name, each in value.items()}
            case list() | tuple():
                return [self.tree(each) for each in value]
        return value

    def unfinished(self, text: str) -> int:
        """How many characters at the end of *text* may be the beginning of a secret."""
        longest = min(len(text), max(map(len, self._hidden), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(each.startswith(text[-length:]) for each in self._hidden):
                return length
        return 0


def _quoted(text: str) -> set[str]:
    """What stands between the quotes where JSON or Python shows *text*."""
    shown = (json.dumps(text), json.dumps(text, ensure_ascii=False), repr(text))
    return {each[1:-1] for each in shown}
