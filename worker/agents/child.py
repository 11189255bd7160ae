"""The process in which a `python` agent's function runs; see `python.py` for the other end.

It stands alone, on the standard library: the function may have another idea of what `worker` is.
"""

import importlib
import inspect
import json
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

# More than is shown at the other end, which takes secrets out before it cuts.
LONGEST_ERROR = 8192
LONGEST_MODEL = 200
LONGEST_TRACEBACK = 16384
# For threads that the function left behind, once its answer is out.
GRACE_SECONDS = 5


class NoFunction(Exception):
    """The entry names nothing that can be called."""


def main() -> None:
    """Read one request, call its function, write what it returned.

    Without a message, the function is only looked for.
    """
    request = json.loads(sys.stdin.buffer.read())
    answer = _claim_stdout()
    try:
        function, message = find(request["entry"], request["path"]), request["message"]
        value = None if message is None else call(function, message, request["context"])
        header, content = render(value)
    except NoFunction as error:
        header, content = failure(str(error)), ""
    except BaseException as error:  # Whatever it raises, `SystemExit` too, is its answer.
        header, content = explain(error), ""
    answer.write(
        json.dumps(header, default=str).encode() + b"\n" + content.encode("utf-8", "replace")
    )
    answer.close()
    last_call = threading.Timer(GRACE_SECONDS, os._exit, (0,))
    last_call.daemon = True
    last_call.start()


def _claim_stdout() -> BinaryIO:
    """Keep standard output for the answer; what the function prints is a log."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return answer


def find(entry: str, path: str | None) -> Callable[..., Any]:
    """The function that *entry* names, looked for in *path* first."""
    sys.path.insert(0, os.path.abspath(path or os.curdir))
    module_name, _, name = entry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise NoFunction(
                f"There is no module {error.name} in {sys.path[0]} or among what is installed."
            ) from None
        raise
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    raise NoFunction(f"The module {module_name} has no function {name}.")


def call(function: Callable[..., Any], message: str, context: dict[str, Any]) -> object:
    """What *function* returns, or what it returns once awaited."""
    value = function(message, context) if _wants_context(function) else function(message)
    return _awaited(value) if inspect.isawaitable(value) else value


def _awaited(value: Awaitable[object]) -> object:
    import asyncio  # As slow to import as all the rest of this process takes.

    async def wait() -> object:
        return await value

    return asyncio.run(wait())


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return False
    positional = [each for each in parameters if each.kind <= each.POSITIONAL_OR_KEYWORD]
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return True
    # A second parameter with a default is an option of the function's own.
    return len(positional) > 1 and (
        positional[1].name == "context" or positional[1].default is inspect.Parameter.empty
    )


def render(value: object) -> tuple[dict[str, Any], str]:
    """What is said beside the content, and the content."""
    if value is None or isinstance(value, str):
        return {}, value or ""
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return _beside(value), value["content"]
    return {}, json.dumps(value, ensure_ascii=False, allow_nan=False)


def _beside(value: dict[str, Any]) -> dict[str, Any]:
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return {
        "model": str(value.get("model") or "")[:LONGEST_MODEL] or None,
        # A cost is a `Decimal` as often as a float, and JSON knows only one of them.
        "usage": {
            "inputTokens": usage.get("inputTokens"),
            "outputTokens": usage.get("outputTokens"),
            "costUsd": str(usage.get("costUsd"))[:40],
        },
    }


def explain(error: BaseException) -> dict[str, Any]:
    """An error as the other end shows it."""
    retryable = getattr(error, "retryable", False) is True
    trace = "".join(traceback.format_exception(error))
    says = " ".join(f"{type(error).__name__}: {error}".split())
    return failure(says, retryable=retryable, trace=trace)


def failure(says: str, *, retryable: bool = False, trace: str = "") -> dict[str, Any]:
    """The header of an answer that is none."""
    return {
        "error": says[:LONGEST_ERROR],
        "retryable": retryable,
        "traceback": trace[-LONGEST_TRACEBACK:],
    }


if __name__ == "__main__":
    main()
