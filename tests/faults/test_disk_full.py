"""SQLite on a disk that is full, and then has room again."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from waiting import wait_until

from shared import clock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["tiny_disk"], indirect=True),
]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB. Only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("A small file system of its own needs the right to mount one.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def tiny_disk_url(tiny_disk: Path, sqlite_template: Path) -> str:
    """The url of a migrated, empty SQLite database there."""
    return f"sqlite:///{shutil.copy(sqlite_template, tiny_disk / 'test.db')}"


def fill(disk: Path) -> Path:
    """Leave no room on *disk*; the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            assert not shutil.disk_usage(disk).free
    return filler


def test_what_found_no_room_is_done_once_there_is_some(system, tiny_disk, outside, orders, checked):
    short, long = outside.agent(seconds=0.2), outside.agent(seconds=3)
    processes = system.start_all("web", "scheduler", "worker")
    for _ in range(4):
        orders.run(long, by_api=True)
    for _ in range(10):
        orders.run(short, by_api=True)
    orders.one_time(10, short, at=clock.now() + timedelta(seconds=4))
    outside.wait_for("began", 4)

    filler = fill(tiny_disk)
    answers = wait_until(lambda: refusals(system, orders, short), "the API to refuse", timeout=60)
    system.wait_until_said("cannot tick, will keep trying: database or disk is full", timeout=60)
    system.wait_until_said("cannot record what came of a run", timeout=60)
    filler.unlink()

    assert {answer["detail"] for answer in answers} == {
        "The disk of the database is full; make room there, and try again."
    }
    snapshot = checked()
    assert {run["status"] for run in snapshot.runs.values()} == {"COMPLETED"}
    assert [process.poll() for process in processes] == [None] * 3
    assert "Traceback" not in system.logs()


def refusals(system, orders, agent):
    """Ask for ten runs; what was said of those that were not accepted."""
    refused = []
    for _ in range(10):
        status, answer = system.call(
            "POST", f"/api/v1/agents/{agent}/runs/background", {"message": "Go"}
        )
        assert status in {202, 503}, answer
        if status == 202:
            orders.runs.append(answer["runId"])
        else:
            refused.append(answer)
    return refused
