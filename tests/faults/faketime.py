"""A clock of a process's own, which a test sets while the process runs (libfaketime)."""

from importlib.util import find_spec
from pathlib import Path


class FakeClock:
    """What a process started with its `environ` takes for the time of day.

    Its monotonic clock stays true, so waiting takes as long as ever.
    """

    def __init__(self, folder: Path, seconds: float = 0) -> None:
        self._file = folder / "clock"
        self.environ = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.shift(seconds)

    def shift(self, seconds: float) -> None:
        """Set the clock to be *seconds* ahead of the true time; behind it, if negative."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{seconds:+f}\n")
        written.replace(self._file)


def _library() -> Path:
    spec = find_spec("libfaketime")
    assert spec is not None, "libfaketime is missing: run `make test`."
    assert spec.origin is not None
    return Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
