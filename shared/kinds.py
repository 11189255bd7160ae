"""The kinds of agents that are installed, found through entry points."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from marshmallow import Schema, ValidationError

from shared.errors import Invalid
from shared.placeholders import OPENING, PLACEHOLDER

GROUP = "agent_manager.agents"


class Kind(Protocol):
    """As much of a kind as its registry needs; `worker.agents.protocol.Agent` is the whole."""

    config_schema: type[Schema]
    admin_only: bool


@cache
def installed() -> Mapping[str, type[Kind]]:
    """Every installed kind by its name. Raises what a broken plug-in raises on import."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}


def get(kind: str) -> type[Kind]:
    """The kind of that name. Raises `Invalid`, naming those that there are."""
    try:
        return installed()[kind]
    except KeyError:
        raise Invalid(
            {"kind": [f"There is no kind {kind!r}; there are {', '.join(sorted(installed()))}."]}
        ) from None


@cache
def schema(kind: str) -> Schema:
    """What validates the configurations of *kind*. Raises `Invalid` if there is no such kind."""
    return get(kind).config_schema()


def takes_admin(kind: str, config: Mapping[str, Any]) -> bool:
    """Whether such an agent can do more than its maker may: run code here, or send secrets away.

    A kind that is no longer installed may have been anything.
    """
    known = installed().get(kind)
    if known is None or known.admin_only or OPENING in json.dumps(config):
        return True
    asks = getattr(known, "takes_admin", None)
    return asks is not None and bool(asks(config))


def converses(kind: str) -> bool:
    """Whether agents of *kind* keep a state, ask people, or remember earlier runs."""
    return bool(getattr(installed().get(kind), "converses", False))


def checks(kind: str) -> bool:
    """Whether *kind* can look before a run whether that could go well."""
    return hasattr(installed().get(kind), "check")


def preload(kind: str) -> None:
    """Have *kind* import what takes seconds, if it is installed and there is any such thing."""
    load = getattr(installed().get(kind), "preload", None)
    if load is not None:
        load()


def secrets(kind: str, config: Mapping[str, Any]) -> set[str]:
    """The names of the secrets that an agent of *kind* is given: those that *config* names.

    *config* is as its schema loaded it, which may have made more of it than JSON knows.
    """
    names = set(PLACEHOLDER.findall(json.dumps(config, default=str)))
    others = getattr(installed().get(kind), "secrets", None)
    return names if others is None else names | set(others(config))


def validate(kind: str, config: Mapping[str, Any]) -> None:
    """Check that *config* is one that *kind* can run. Raises `Invalid` with a sentence a field."""
    try:
        schema(kind).load(config)
    except ValidationError as error:
        raise Invalid(
            {f"config.{name}": flatten(says) for name, says in error.messages_dict.items()}
        ) from None


def flatten(says: object) -> list[str]:
    """Marshmallow's nested messages as a list of sentences."""
    if isinstance(says, dict):
        return [
            text if isinstance(key, int) else f"{key}: {text}"
            for key, inner in says.items()
            for text in flatten(inner)
        ]
    if isinstance(says, list):
        return [text for inner in says for text in flatten(inner)]
    return [str(says)]
