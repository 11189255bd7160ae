"""What a child process is given around it: its environment, and the limits it runs under."""

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import fields

from shared.states import ErrorCode
from worker.agents import briefing, config
from worker.agents.placeholders import expand
from worker.agents.protocol import AgentError, Context

MEBIBYTE = 1024 * 1024
LIMITS = ("maxMemoryMb", "maxCpuSeconds", "maxFileMb")


class ChildSchema(config.ConfigSchema):
    """What `command` and `python` have in common."""

    env = config.environment()
    # Of address space: Go, Java and Node reserve far more of it than they use.
    maxMemoryMb = config.number(fields.Integer, 16, 1_048_576, strict=True, load_default=None)  # noqa: N815
    maxCpuSeconds = config.number(fields.Integer, 1, 86_400, strict=True, load_default=None)  # noqa: N815
    maxFileMb = config.number(fields.Integer, 1, 1_048_576, strict=True, load_default=None)  # noqa: N815


def environment(config: Mapping[str, Any], context: Context) -> dict[str, str]:
    """The whole environment of a child. Raises `AgentError` for a secret that cannot go there."""
    extra = {name: expand(value, context.secrets) for name, value in config["env"].items()}
    for name, value in extra.items():
        if "\0" in value:
            raise AgentError(f"The secret in env.{name} holds a NUL.", code=ErrorCode.REJECTED)
    return {**context.environment, **extra, **briefing.as_environment(context)}


def guarded(argv: list[str], config: Mapping[str, Any]) -> list[str]:
    """*argv* behind the programs that tie a child to its limits and to our own life.

    They stand in for code between fork and exec, which a process with threads must not run.
    """
    setpriv, prlimit = _setpriv(), shutil.which("prlimit")
    limits = [name for name in LIMITS if config[name] is not None]
    if limits and prlimit is None:
        raise AgentError(
            f"This worker cannot keep {' and '.join(limits)}: it has no `prlimit` program.",
            code=ErrorCode.REJECTED,
        )
    return [*setpriv, *(_prlimit(prlimit, config) if prlimit else ()), *argv]


def _prlimit(program: str, config: Mapping[str, Any]) -> list[str]:
    # A core file would hold every secret.
    options = ["--core=0"]
    if config["maxMemoryMb"] is not None:
        options.append(f"--as={config['maxMemoryMb'] * MEBIBYTE}")
    if config["maxFileMb"] is not None:
        options.append(f"--fsize={config['maxFileMb'] * MEBIBYTE}")
    if (seconds := config["maxCpuSeconds"]) is not None:
        # The soft limit first: its signal says what happened, the hard one's only kills.
        options.append(f"--cpu={seconds}:{seconds + 1}")
    return [program, *options, "--"]


@cache
def _setpriv() -> tuple[str, ...]:
    """The prefix that keeps a child from gaining privileges and from outliving us."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    prefix = (program, "--no-new-privs", "--pdeathsig", "KILL", "--")
    # Busybox has a `setpriv` that knows neither option, and some sandboxes refuse both.
    tried = subprocess.run([*prefix, program, "--help"], capture_output=True, check=False)  # noqa: S603
    return prefix if tried.returncode == 0 else ()
