"""A check of an agent: what every kind needs, and then what its own kind looks at."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from shared import kinds
from shared.findings import FAIL, OK, Finding
from worker.agents.protocol import Agent, Context


def findings(kind: str, config: Mapping[str, Any], context: Context) -> list[Finding]:
    """What a check of an agent of *kind* comes to, *config* being as its schema loaded it."""
    found = [Finding("kind", OK, f"This worker runs {kind}, and takes the configuration.")]
    named = kinds.secrets(kind, config)
    if named:
        found.append(_secrets(named, named - context.secrets.keys()))
    if kinds.checks(kind):
        agent: Any = cast(type[Agent], kinds.get(kind))(config)
        found += agent.check(context)
    return found


def _secrets(named: Collection[str], missing: Collection[str]) -> Finding:
    if not missing:
        names = ", ".join(sorted(named))
        return Finding("secrets", OK, f"This worker has every secret that is named: {names}.")
    variables = ", ".join(f"AGENT_MANAGER_SECRET_{name}" for name in sorted(missing))
    return Finding(
        "secrets",
        FAIL,
        f"This worker has no secret {', '.join(sorted(missing))}.",
        f"Set {variables} for every worker, and restart it.",
    )
