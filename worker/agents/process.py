"""One child process, from its start until nothing of it is left."""

import errno
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Protocol

from shared import clock
from shared.states import ErrorCode
from worker.agents.protocol import AgentError, Stopped
from worker.agents.stop import Stop

# From the polite signal to the other one.
GRACE_SECONDS = 1.0
CHUNK = 64 * 1024
# What is still in a pipe when its child has ended; a pipe holds no more than that.
PIPEFUL = 1024 * 1024
OUT_OF_SOMETHING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Sink(Protocol):
    """Where what a child writes is to go."""

    @property
    def flooded(self) -> bool:
        """Whether so much has come that the child is to be stopped."""

    def feed(self, chunk: bytes, /) -> None:
        """Take in what has arrived."""


def run(
    argv: Sequence[str],
    *,
    stdin: bytes,
    stdout: Sink,
    stderr: Sink,
    env: Mapping[str, str],
    cwd: str | None,
    stop: Stop,
) -> int:
    """Run *argv* in a process group of its own; returns its exit status, or minus its signal.

    However it ends, the whole group is gone afterwards. Raises `Stopped` or `AgentError`.
    """
    if stop.is_set():
        raise Stopped
    child = _start(argv, env=env, cwd=cwd)
    with ExitStack() as undo:
        undo.callback(_bury, child)
        pump = undo.enter_context(_Pump(child, stdin, stdout, stderr))
        stopped = undo.enter_context(stop.readable())
        pump.watch(stopped.fileno())
        pump.until(lambda: pump.ended or stop.is_set() or stdout.flooded)
        if not pump.ended:
            _signal(child, signal.SIGTERM)
            # Its children may need the grace that it does not: while one lives, a pipe is open.
            pump.until(lambda: pump.ended and pump.dry, seconds=GRACE_SECONDS)
            _signal(child, signal.SIGKILL)
            if stdout.flooded:
                raise AgentError(
                    "The agent was stopped: it printed far more than is kept of an answer.",
                    code=ErrorCode.OUTPUT_TOO_LARGE,
                )
            raise Stopped
        _signal(child, signal.SIGKILL)
        pump.drain()
    return child.returncode


def ending(status: int) -> str:
    """How a child ended that `run` returned *status* for, as the end of a sentence."""
    if status >= 0:
        return f"exited with code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _start(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - an argv that an admin has written, and no shell
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise AgentError(
            f"The agent's process could not be started: {error.strerror}.",
            retryable=error.errno in OUT_OF_SOMETHING,
        ) from None


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Nobody has reaped the leader yet, so the group's number cannot have become another's.
    # macOS says "not permitted" where it means that only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _bury(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        _signal(child, signal.SIGKILL)
    # A process that is stuck in the kernel must not hold the worker's thread as well.
    with suppress(subprocess.TimeoutExpired):
        child.wait(5)


class _Pump:
    """Moves bytes to and from a child until something happens; all of it in the calling thread."""

    def __init__(
        self, child: subprocess.Popen[bytes], stdin: bytes, stdout: Sink, stderr: Sink
    ) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        self.ended = False
        self._unsent = memoryview(stdin)
        self._selector = selectors.DefaultSelector()
        self._stdin: IO[bytes] = child.stdin
        self._sinks = {child.stdout: stdout, child.stderr: stderr}
        self._exit, self._on_exit = os.pipe()
        for pipe in (child.stdin, child.stdout, child.stderr):
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(child.stdin, selectors.EVENT_WRITE, self._write)
        for pipe in self._sinks:
            self._selector.register(pipe, selectors.EVENT_READ, self._reader(pipe))
        self._selector.register(self._exit, selectors.EVENT_READ, self._note_the_end)
        threading.Thread(target=_await_exit, args=(child, self._on_exit), daemon=True).start()

    def __enter__(self) -> "_Pump":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        os.close(self._exit)
        for pipe in (self._stdin, *self._sinks):
            pipe.close()

    @property
    def dry(self) -> bool:
        """Whether nobody holds the other end of standard output and error any more."""
        return all(pipe.closed for pipe in self._sinks)

    def watch(self, fd: int) -> None:
        """Wake up when *fd* can be read."""
        self._selector.register(fd, selectors.EVENT_READ, lambda: self._selector.unregister(fd))

    def until(self, done: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Move bytes until *done*, for *seconds* at most."""
        until = None if seconds is None else clock.monotonic() + seconds
        while not done():
            left = None if until is None else until - clock.monotonic()
            if left is not None and left <= 0:
                return
            for key, _ in self._selector.select(left):
                key.data()

    def drain(self) -> None:
        """Read what a child that has ended left behind, whoever else may hold its pipes."""
        for pipe in self._sinks:
            read = self._reader(pipe)
            for _ in range(PIPEFUL // CHUNK):
                if pipe.closed or not read():
                    break

    def _note_the_end(self) -> None:
        self.ended = True
        self._selector.unregister(self._exit)

    def _write(self) -> None:
        try:
            sent = os.write(self._stdin.fileno(), self._unsent[:CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            sent = len(self._unsent)  # It does not want to read its message; that is its affair.
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._close(self._stdin)

    def _reader(self, pipe: IO[bytes]) -> Callable[[], int]:
        def read() -> int:
            try:
                chunk = os.read(pipe.fileno(), CHUNK)
            except BlockingIOError:
                return 0
            if chunk:
                self._sinks[pipe].feed(chunk)
            else:
                self._close(pipe)
            return len(chunk)

        return read

    def _close(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()


def _await_exit(child: subprocess.Popen[bytes], fd: int) -> None:
    """Close *fd* when *child* has ended; where the system can, leave it to be reaped."""
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        else:
            child.wait()
    except ChildProcessError:
        pass  # It was reaped in the meantime.
    finally:
        os.close(fd)
