"""Where, and after how long, to ask a service again that has not finished."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urljoin, urlsplit

from worker.agents.http_schema import LONGEST_PAUSE, PLAIN_URL, SHORTEST_PAUSE
from worker.agents.protocol import AgentError


def place(asked: SplitResult, location: str) -> SplitResult:
    """The URL that the header `Location` of an answer to *asked* means."""
    try:
        found = urlsplit(urljoin(asked.geturl(), location))
    except ValueError:
        found = None
    if found is None or not PLAIN_URL.fullmatch(location):
        raise AgentError("The service says to find its answer at what is no URL.")
    # The headers of the first request, and the secrets in them, are meant for its origin only.
    if (found.scheme, found.netloc) != (asked.scheme, asked.netloc):
        raise AgentError(
            f"The service says to find its answer at another origin, {found.netloc}: not followed."
        )
    return found


def pause(retry_after: str, *, otherwise: float, now: datetime) -> float:
    """The seconds that the header `Retry-After` asks for, within bounds."""
    seconds = otherwise
    if re.fullmatch("[0-9]{1,9}", retry_after):
        seconds = float(retry_after)
    elif retry_after:
        try:
            until = parsedate_to_datetime(retry_after)
        except ValueError:
            return otherwise
        # "-0000" makes a naive time, though it means UTC as well.
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE)
