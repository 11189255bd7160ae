"""The kind `outside`, for tests: what it does is known apart from what the database says of it.

Found as any plug-in is: this folder is on the PYTHONPATH of the processes that are tested.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import Schema, fields

from shared import failpoints
from worker.agents import config
from worker.agents.protocol import AgentError, Context, Result, Stopped


class OutsideSchema(config.ConfigSchema):
    """Where the agent writes, how long it works, and what it does wrong on purpose."""

    path = config.text(4096, required="Name the file to write to.")
    seconds = config.number(fields.Float, 0, 86_400, load_default=0.0)
    ignoresStop = fields.Boolean(load_default=False)  # noqa: N815
    # Attempts up to this one end with `kill -9` of the worker.
    kills = config.number(fields.Integer, 0, 1_000, load_default=0)
    # Attempts up to this one fail.
    fails = config.number(fields.Integer, 0, 1_000, load_default=0)
    retryable = fields.Boolean(load_default=True)


class OutsideAgent:
    """Writes a line to its file when it begins, and one when it ends, fails or stops."""

    config_schema: ClassVar[type[Schema]] = OutsideSchema
    admin_only: ClassVar[bool] = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def run(self, message: str, context: Context) -> Result:
        """Answer *message* with itself and the attempt."""
        self._tell("began", context)
        try:
            content = self._work(message, context)
        except Stopped:
            self._tell("stopped", context)
            raise
        except Exception:
            self._tell("failed", context)
            raise
        self._tell("ended", context, content=content)
        return Result(content=content)

    def _work(self, message: str, context: Context) -> str:
        if context.attempt <= self._config["kills"]:
            os.kill(os.getpid(), signal.SIGKILL)
        failpoints.reach("agent.mid_run")
        if self._is_stopped(context):
            raise Stopped
        if context.attempt <= self._config["fails"]:
            raise AgentError("Failed on purpose.", retryable=self._config["retryable"])
        return f"{message} (attempt {context.attempt})"

    def _is_stopped(self, context: Context) -> bool:
        if self._config["ignoresStop"]:
            return threading.Event().wait(self._config["seconds"])
        return context.stop.wait(self._config["seconds"])

    def _tell(self, what: str, context: Context, **more: str) -> None:
        line = {
            "what": what,
            "run": str(context.run_id),
            "attempt": context.attempt,
            "agent": context.agent_id,
            "schedule": _text(context.schedule_id),
            "scheduledFor": context.scheduled_for and context.scheduled_for.isoformat(),
            "at": datetime.now(UTC).isoformat(),
            "monotonic": time.monotonic(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            **more,
        }
        append(Path(self._config["path"]), line)


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add *line* to the file by one write, and wait until the disk has it."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
