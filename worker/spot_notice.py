"""The notice that a machine is about to be taken away, as the clouds give it.

A file that appears, or a URL that is polled:

- AWS: `http://169.254.169.254/latest/meta-data/spot/instance-action` is 404 until there is JSON
  with an `action` (IMDSv2: after a 401 with a token);
- Google Cloud: `http://metadata.google.internal/computeMetadata/v1/instance/preempted` says TRUE;
- Azure: `http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01` lists an event of
  the type Preempt or Terminate among whose resources is this machine. The events of a scale set
  are told to all of its machines.
"""

import http.client
import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from shared.log import Trouble

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 2.0
_LONGEST_ANSWER = 64 * 1024
# Each cloud wants to see the one that is its own, so that no page of the web can ask.
_HEADERS = {"Metadata-Flavor": "Google", "Metadata": "true"}
_TOKEN_PATH = "/latest/api/token"  # noqa: S105 - it is where to get one
_AZURE_EVENTS = ("Preempt", "Terminate")
_AZURE_NAME_PATH = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"


class SpotNotice:
    """Watches for the notice at *where*, a path or a URL; where that is nothing, there is none."""

    def __init__(self, where: str, interval: timedelta) -> None:
        self._where = where
        self._interval = interval.total_seconds()
        self._given = threading.Event()
        self._over = threading.Event()
        self._trouble = Trouble(logger, "read the notice that this machine is taken away")
        self._thread = threading.Thread(target=self._run, name="spot notice", daemon=True)

    def start(self) -> None:
        """Look once, and from then on in a thread."""
        if self._where:
            self._look()
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def is_given(self) -> bool:
        """Whether this machine is about to be taken away."""
        return self._given.is_set()

    def _run(self) -> None:
        while not self._over.wait(self._interval) and not self._given.is_set():
            self._look()

    def _look(self) -> None:
        try:
            given = self._asks_to_go()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._trouble.begins(error)
            return
        self._trouble.ends()
        if given:
            logger.warning("this machine is about to be taken away")
            self._given.set()

    def _asks_to_go(self) -> bool:
        if not self._where.startswith(("http://", "https://")):
            return Path(self._where).exists()
        url = urlsplit(self._where)
        status, body = _ask("GET", url, url.path, _HEADERS)
        if status == http.HTTPStatus.UNAUTHORIZED:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            _, token = _ask("PUT", url, _TOKEN_PATH, lifetime)
            headers = {**_HEADERS, "X-aws-ec2-metadata-token": token.strip()}
            status, body = _ask("GET", url, url.path, headers)
        if status == http.HTTPStatus.NOT_FOUND:
            return False
        return says_so(_understood(status, body), lambda: _name(url))


def says_so(body: str, name: Callable[[], str]) -> bool:
    """Whether what a cloud answered is a notice for the machine of that *name*.

    Raises `ValueError` on what none of them says.
    """
    text = body.strip()
    if text.upper() in {"TRUE", "FALSE"}:
        return text.upper() == "TRUE"
    try:
        match json.loads(text):
            case {"action": _}:
                return True
            case {"Events": [*events]}:
                taken = [each for each in events if each["EventType"] in _AZURE_EVENTS]
                machines = {machine.lower() for each in taken for machine in each["Resources"]}
                return bool(machines) and name().lower() in machines
    except (TypeError, LookupError, AttributeError, RecursionError, json.JSONDecodeError):
        pass
    raise ValueError(f"it says what no cloud does: {text[:100]}")


def _name(url: SplitResult) -> str:
    """What Azure calls this machine."""
    return _understood(*_ask("GET", url, _AZURE_NAME_PATH, _HEADERS)).strip()


def _understood(status: int, body: str) -> str:
    if status != http.HTTPStatus.OK:
        raise ValueError(f"it answers {status}: {body[:100]}")
    return body


def _ask(method: str, url: SplitResult, path: str, headers: dict[str, str]) -> tuple[int, str]:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=_TIMEOUT_SECONDS)
    try:
        query = f"?{url.query}" if url.query and path == url.path else ""
        connection.request(method, f"{path or '/'}{query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(_LONGEST_ANSWER).decode("utf-8", "replace")
    finally:
        connection.close()
