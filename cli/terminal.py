"""What people see: lines of several processes in one stream, each under the name of who says it."""

import os
import sys
from collections.abc import Iterable
from itertools import cycle
from threading import Lock

import click

COLOURS = ("cyan", "green", "magenta", "yellow", "blue")


class Terminal:
    """Standard output, shared line by line. It falls silent when nobody reads it any more."""

    def __init__(self, names: Iterable[str], *, colour: bool | None = None) -> None:
        names = tuple(names)
        self._width = max(map(len, names))
        self._colours = dict(zip(names, cycle(COLOURS), strict=False))
        self._colour = colour
        self._lock = Lock()

    def line(self, name: str, text: str) -> None:
        """Write one line that *name* said."""
        label = click.style(f"{name:>{self._width}} │", fg=self._colours[name])
        self.block(f"{label} {text}")

    def block(self, text: str) -> None:
        """Write *text* as it is, with no line of anybody else in it."""
        with self._lock:
            try:
                click.echo(text, color=self._colour)
            except BrokenPipeError:
                # As the Python manual advises, or the interpreter fails once more at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
