"""The kind that runs a program."""

import os
import shutil
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from worker.agents import config, process
from worker.agents.logs import Log
from worker.agents.looks import look
from worker.agents.output import Output
from worker.agents.placeholders import redact
from worker.agents.protocol import AgentError, Context, Finding, Result
from worker.agents.surroundings import ChildSchema, environment, guarded

# `EX_TEMPFAIL` of sysexits.h.
TRY_AGAIN = 75


class CommandSchema(ChildSchema):
    """Which program, and what is around it."""

    argv = fields.List(
        config.text(32_768, config.without_secrets),
        required=True,
        validate=validate.Length(1, 100, error="Give the program and at most 99 arguments."),
        error_messages=config.says(
            'Give a list of texts, as in ["python3", "agent.py"]; no shell reads it.',
            required='Give the program and its arguments, as in ["python3", "agent.py"].',
        ),
    )
    cwd = config.text(4096, load_default=None)


class CommandAgent:
    """Runs a program, the message on its standard input; what it prints is the answer."""

    config_schema: ClassVar[type[Schema]] = CommandSchema
    admin_only: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._argv: list[str] = config["argv"]
        self._cwd: str | None = config["cwd"]

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with what the program prints."""
        argv, env = self._prepared(context)
        printed = Output(context.output_limit)
        log = Log(context.report, context.secrets.values())
        status = process.run(
            argv,
            stdin=message.encode(),
            stdout=printed,
            stderr=log,
            env=env,
            cwd=self._cwd,
            stop=context.stop,
        )
        log.close()
        if status != 0:
            raise AgentError(_failure(status, log.tail()), retryable=status == TRY_AGAIN)
        return Result(content=redact(printed.text(), context.secrets.values()))

    def check(self, context: Context) -> list[Finding]:
        """Whether there is such a program; it is not run."""

        def see(context: Context) -> str:
            self._prepared(context)
            return f"This worker may execute the program {self._argv[0]}."

        return [look("program", see, context)]

    def _prepared(self, context: Context) -> tuple[list[str], dict[str, str]]:
        """What is executed, and its environment. Raises `AgentError` where that cannot be."""
        env = environment(self._config, context)
        self._look_for_program(env)
        return guarded(self._argv, self._config), env

    def _look_for_program(self, env: Mapping[str, str]) -> None:
        """Say clearly what the system, or a program in between, would say in its own words."""
        if self._cwd is not None and not os.path.isdir(self._cwd):
            raise AgentError(f"This worker has no directory {self._cwd} to run the program in.")
        program = self._argv[0]
        place = os.path.join(self._cwd or "", program) if "/" in program else program
        if shutil.which(place, path=env.get("PATH", os.defpath)) is None:
            raise AgentError(f"This worker has no program {program} that it may execute.")


def _failure(status: int, complaint: str) -> str:
    how = process.ending(status)
    return f"The program {how}{f': {complaint}' if complaint else ', and gave no reason'}."
