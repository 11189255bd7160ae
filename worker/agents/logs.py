"""What a child says on standard error: the first lines as events, the last ones for its error."""

import codecs
from collections.abc import Iterable

from worker.agents.output import UNFIT
from worker.agents.placeholders import redact
from worker.agents.protocol import Report

MOST_LINES = 100
LONGEST_LINE = 1024
LONGEST_TAIL = 2048


class Log:
    """Standard error as it arrives: bounded in memory and in what it reports, secrets taken out."""

    # However much a program complains, it is not a reason to stop it.
    flooded = False

    def __init__(self, report: Report, secrets: Iterable[str]) -> None:
        self._report = report
        self._secrets = tuple(secrets)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._recent = ""
        self._reported = 0

    def feed(self, chunk: bytes) -> None:
        """Take in what has arrived."""
        self._take(self._decoder.decode(chunk))

    def close(self) -> None:
        """Report the last line, if it had no end."""
        self._take(self._decoder.decode(b"", final=True))
        if self._line:
            self._say(self._line)
            self._line = ""

    def tail(self) -> str:
        """The end of all that was said."""
        return redact(self._recent, self._secrets)[-LONGEST_TAIL:].strip()

    def _take(self, text: str) -> None:
        text = text.replace("\0", UNFIT)
        # More than is shown, so that a secret is recognized before its text is cut.
        self._recent = (self._recent + text)[-2 * LONGEST_TAIL :]
        if self._reported > MOST_LINES:
            return
        *lines, rest = (self._line + text).split("\n")
        for line in lines:
            self._say(line)
        self._line = rest[: 8 * LONGEST_LINE]

    def _say(self, line: str) -> None:
        shown = redact(line[: 8 * LONGEST_LINE].rstrip(), self._secrets)
        if not shown or self._reported > MOST_LINES:
            return
        if self._reported == MOST_LINES:
            shown = f"[… only the first {MOST_LINES} lines are kept …]"
        elif len(shown) > LONGEST_LINE:
            shown = f"{shown[:LONGEST_LINE]}…"
        self._reported += 1
        self._report("log", {"stream": "stderr", "text": shown})
