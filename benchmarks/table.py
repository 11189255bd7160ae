"""Tables for people, and lines that say what goes on."""

import sys
from collections.abc import Sequence


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is words, the others are figures."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}\n")
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    sys.stdout.flush()


def progress(says: str) -> None:
    """Say what is being done."""
    print(f"... {says}", file=sys.stderr, flush=True)


def goal(met: bool, says: str) -> str:
    """A goal, and whether it was met."""
    return f"{says}: {'met' if met else 'MISSED'}"
