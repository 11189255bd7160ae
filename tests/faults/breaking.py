"""The system under test, with what a fault needs: arms, ice, and a look at it from outside."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import record
from outside import PLUGIN
from record import AWAY, Snapshot
from system import System
from waiting import wait_until
from witness import Witness

from shared.tally import Count

ARMED = Path(__file__).parent / "armed.py"

Process = subprocess.Popen[bytes]


class BreakableSystem(System):
    """Processes of the Procfile, some of them with failpoints armed (see `armed`)."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        super().__init__(database_url, redis_url, folder)
        #: Where the database is for the tests themselves, whatever the processes are told.
        self.database_url = database_url
        #: Sees whether what has ended changes.
        self.witness = Witness(database_url)
        self.environ["PYTHONPATH"] = str(PLUGIN)

    def start(
        self, kind: str, failpoints: str = "", *, environ: Mapping[str, str] | None = None
    ) -> Process:
        """Start one process of *kind*, with *failpoints* armed if there are any."""
        command = f"{sys.executable} {ARMED} {kind}" if failpoints else None
        environ = {**(environ or {}), **({"FAILPOINTS": failpoints} if failpoints else {})}
        return super().start(kind, command=command, environ=environ)

    def start_soon(self, kind: str) -> Process:
        """Start one process of *kind*, and do not wait until it answers."""
        return super().start(kind, wait=False)

    def start_all(self, *kinds: str) -> list[Process]:
        """Start a process of each of *kinds*; by default a scheduler and a worker."""
        return [self.start(kind) for kind in kinds or ("scheduler", "worker")]

    def wait_for_death(self, process: Process, *, timeout: float = 60) -> None:
        """Wait until a process has been killed, by itself or by others."""
        wait_until(lambda: process.poll() is not None, "a process to die", timeout=timeout)
        assert process.returncode == -signal.SIGKILL

    def freeze(self, process: Process) -> None:
        """SIGSTOP, between two of its transactions on SQLite: amid one it would stop all others."""

        def frozen() -> bool:
            process.send_signal(signal.SIGSTOP)
            self.wait_for_ice(process)
            if record.can_be_written(self.database_url):
                return True
            self.thaw(process)
            return False

        wait_until(frozen, "a process to freeze without a lock")

    def wait_for_ice(self, process: Process, *, timeout: float = 60) -> None:
        """Wait until a process is frozen, by a failpoint or by us."""
        seen = psutil.Process(process.pid)
        wait_until(
            lambda: seen.status() == psutil.STATUS_STOPPED, "a process to freeze", timeout=timeout
        )

    def thaw(self, process: Process) -> None:
        """SIGCONT."""
        process.send_signal(signal.SIGCONT)

    def wait_until_said(self, text: str, *, times: int = 1, timeout: float = 60) -> None:
        """Wait until the processes have logged *text* so many times, all together."""
        wait_until(
            lambda: self.logs().count(text) >= times, f"{text!r} in the logs", timeout=timeout
        )

    def snapshot(self) -> Snapshot:
        """All rows of the database. Raises one of `record.AWAY`."""
        return self.witness.look()

    def status_counts(self) -> Mapping[str, int]:
        """How many runs there are of each status."""
        counts: dict[str, int] = {}
        for run in self.snapshot().runs.values():
            counts[run["status"]] = counts.get(run["status"], 0) + 1
        return counts

    def wait_for_runs(self, count: int, *statuses: str, timeout: float = 60) -> None:
        """Wait until there are *count* runs of one of *statuses*; of any, if none is named."""

        def seen() -> bool:
            counts = self.status_counts()
            return sum(counts[each] for each in counts if each in (statuses or counts)) >= count

        what = f"{count} runs to be {' or '.join(statuses) or 'recorded'}"
        wait_until(seen, what, timeout=timeout)

    def counted(self, what: Count) -> int:
        """How many times the processes have counted *what*, all together, as far as they told."""
        return record.counts(self.database_url)[what]

    def wait_until_counted(self, what: Count, least: int = 1, *, timeout: float = 60) -> None:
        """Wait until the processes have counted *what* so many times, all together."""
        wait_until(
            lambda: self.counted(what) >= least, f"{least} {what} to be counted", timeout=timeout
        )

    def wait_until_quiet(self, *, timeout: float = 120) -> Snapshot:
        """Wait until every run has ended, nothing is due and no one-time schedule is to come."""

        seen: list[Snapshot] = []

        def quiet() -> bool:
            with suppress(*AWAY):
                seen[:] = [self.snapshot()]
            return bool(seen) and seen[0].is_quiet()

        wait_until(quiet, "all to be quiet", timeout=timeout)
        return seen[0]
