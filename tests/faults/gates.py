"""Points at which a process waits until the test lets it go on."""

from pathlib import Path

from waiting import wait_until


class Gate:
    """A failpoint as a gate: `system.start("worker", gate.order)`, and later `gate.open()`."""

    def __init__(self, point: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.point = point
        self.order = f"{point}=wait:{folder}"
        self._reached = folder / f"{point}.reached"
        self._go = folder / f"{point}.go"

    def wait_until_reached(self, *, timeout: float = 60) -> None:
        """Wait until a process stands at it."""
        wait_until(self._reached.exists, f"{self._reached.stem} to be reached", timeout=timeout)

    def open(self) -> None:
        """Let whoever stands at it, and whoever comes to it, go on."""
        self._go.touch()
