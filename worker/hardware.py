"""What this process really runs on, whatever its compute profile says."""

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.settings import Settings

_CGROUP = Path("/sys/fs/cgroup")
_MIB = 1024 * 1024


def describe(settings: Settings) -> dict[str, Any]:
    """The machine, or as much of it as a container may use; the wire's names.

    What its provider calls it only the deployment can say.
    """
    return {
        "instanceType": settings.instance_type or None,
        "region": settings.region or None,
        "machine": platform.machine(),
        "vcpu": processors(),
        "memoryMb": memory_mb(),
        "threads": settings.worker_threads,
    }


def processors(cgroup: Path = _CGROUP) -> float:
    """The processors that this process may use, or as much of them as its control group gives."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    here = float(affinity or 1)
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        return min(here, round(int(quota) / int(period), 3))
    return here


def memory_mb(cgroup: Path = _CGROUP) -> int | None:
    """The memory of the machine, or what the control group allows, in MiB. None: who knows."""
    limits = [int(text) for text in (_read(cgroup / "memory.max"),) if text.isdigit()]
    with suppress(ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits) // _MIB if limits else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
