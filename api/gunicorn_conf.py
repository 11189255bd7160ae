"""How gunicorn serves the API: `gunicorn -c python:api.gunicorn_conf "api.app:create_app()"`."""

import logging
import os
import signal
from types import FrameType
from typing import Any

from api import long_requests
from api.services import KEY
from shared.settings import environment, load

_settings = load()
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# An IPv6 address stands in brackets.
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
# As Heroku and gunicorn itself spell it.
workers = int(environment().get("WEB_CONCURRENCY") or min(_CORES, 4))
worker_class = "gthread"
# A few serve requests at a time; the others only wait, with whoever watches or is slow.
threads = 4 + long_requests.MOST
keepalive = 30
graceful_timeout = int(_settings.shutdown_grace.total_seconds())
loglevel = "info"
# How long a client may stand still while it sends a body, or takes an answer.
_PATIENCE_SECONDS = 30
# Its control socket would be one more door.
control_socket_disable = True


def pre_request(worker: Any, request: Any) -> None:
    """Have a client that stands still give its thread back."""
    request.unreader.sock.settimeout(_PATIENCE_SECONDS)


def _say_in_a_line(record: logging.LogRecord) -> bool:
    """A client that was given up is no fault of ours, and no reason for a traceback."""
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        record.msg = f"A client that stood still for {_PATIENCE_SECONDS} s was given up."
        record.args, record.exc_info = (), None
    return True


def on_starting(server: Any) -> None:
    """Set up gunicorn's log before its workers inherit it."""
    server.log.error_log.addFilter(_say_in_a_line)


def post_worker_init(worker: Any) -> None:
    """Have those who watch something go when the process is told to end; it waits for them."""
    services = worker.wsgi.extensions[KEY]
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    }

    def end(number: int, frame: FrameType | None) -> None:
        services.end_watching()
        ends = before[signal.Signals(number)]
        if callable(ends):
            ends(number, frame)

    for number in before:
        signal.signal(number, end)


def worker_exit(server: Any, worker: Any) -> None:
    """Write down what a process has counted before it ends."""
    services = worker.wsgi and worker.wsgi.extensions[KEY]
    if services:
        services.bookkeeper.close()
