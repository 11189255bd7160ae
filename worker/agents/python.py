"""The kind that calls a Python function."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError

from worker.agents import answers, briefing, config, process
from worker.agents.logs import Log
from worker.agents.looks import look
from worker.agents.output import Output, cap
from worker.agents.placeholders import redact
from worker.agents.protocol import AgentError, Context, Finding, Result
from worker.agents.surroundings import ChildSchema, environment, guarded

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
# By its path, and without any directory added to its imports: nothing of ours, neither the worker's
# packages nor this one's `http.py`, must get in the way of what the function imports.
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("child.py")))
# What is imported may be large.
IMPORT_SECONDS = 40.0
LONGEST_HEADER = 256 * 1024
LONGEST_ERROR = 2048
LONGEST_TRACEBACK = 8192


def _entry(value: str) -> None:
    if not ENTRY.fullmatch(value):
        raise ValidationError("Give the function as package.module:function.")


class PythonSchema(ChildSchema):
    """Which function, and what is around it."""

    entry = config.text(512, _entry, required="Give the function as package.module:function.")
    path = config.text(4096, load_default=None)


class PythonAgent:
    """Calls a function in a process of its own; what it returns is the answer."""

    config_schema: ClassVar[type[Schema]] = PythonSchema
    admin_only: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._entry: str = config["entry"]
        self._path: str | None = config["path"]

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with what the function returns."""
        header, content = self._ask(message, context)
        return answers.result(content, header)

    def check(self, context: Context) -> list[Finding]:
        """Whether the function can be imported; it is not called."""

        def see(context: Context) -> str:
            self._ask(None, replace(context, report=_unheard))
            return f"There is a function {self._entry}."

        return [look("function", see, context, seconds=IMPORT_SECONDS)]

    def _ask(self, message: str | None, context: Context) -> tuple[dict[str, Any], str]:
        """What the function answers to *message*: what it says beside the content, and that.

        Without a message it is only looked for. Raises `AgentError` or `Stopped`.
        """
        if self._path is not None and not os.path.isdir(self._path):
            raise AgentError(f"This worker has no directory {self._path} to import from.")
        secrets = tuple(context.secrets.values())
        request = {
            "entry": self._entry,
            "path": self._path,
            "message": message,
            "context": briefing.as_json(context),
        }
        reply, log = _Reply(context.output_limit), Log(context.report, secrets)
        status = process.run(
            guarded(list(CHILD), self._config),
            stdin=json.dumps(request).encode(),
            stdout=reply,
            stderr=log,
            env=environment(self._config, context),
            cwd=None,
            stop=context.stop,
        )
        log.close()
        header = reply.header()
        if header is None:
            raise AgentError(_silence(status, log.tail()))
        if "error" in header:
            trace = cap(
                redact(header["traceback"], secrets)[-LONGEST_TRACEBACK:], LONGEST_TRACEBACK
            )
            if trace:
                context.report("log", {"stream": "traceback", "text": trace})
            error = cap(redact(header["error"], secrets)[:LONGEST_ERROR], LONGEST_ERROR)
            raise AgentError(error, retryable=header["retryable"] is True)
        return header, redact(reply.content.text(), secrets)


def _unheard(type: str, data: Mapping[str, Any]) -> None:
    """Keep no event: what a module prints while it is imported is no run's log."""


def _silence(status: int, complaint: str) -> str:
    how = process.ending(status)
    return (
        f"The function's process {how} before it returned{f': {complaint}' if complaint else ''}."
    )


class _Reply:
    """What `child` answers with: a line of JSON, then the content as it is."""

    def __init__(self, limit: int) -> None:
        self.content = Output(limit)
        self._header = bytearray()

    @property
    def flooded(self) -> bool:
        """Whether the content, or what should be a line before it, is far too long."""
        return self.content.flooded or len(self._header) > LONGEST_HEADER

    def feed(self, chunk: bytes) -> None:
        """Take in what has arrived."""
        if self._header.endswith(b"\n"):
            self.content.feed(chunk)
            return
        begin, newline, rest = chunk.partition(b"\n")
        self._header += begin + newline
        self.content.feed(rest)

    def header(self) -> dict[str, Any] | None:
        """What the first line says; None if there is no whole line."""
        if not self._header.endswith(b"\n"):
            return None
        header: dict[str, Any] = json.loads(self._header)
        return header
