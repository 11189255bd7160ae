"""Failpoints: reached by the code, armed by tests, and by nothing else."""

import re
import subprocess
import sys

import armed
import pytest
from armed import Broken, Order, Saboteur
from breaking import ARMED
from databases import on_sqlite
from waiting import wait_until

from shared.failpoints import POINTS
from shared.settings import environment

PACKAGES = ("api", "cli", "scheduler", "shared", "worker")


def saboteur(text: str) -> Saboteur:
    return Saboteur([Order.read(text, kind="worker")])


def is_broken(broken: Saboteur, point: str) -> bool:
    try:
        broken(point)
    except Broken:
        return True
    return False


def test_the_code_reaches_every_point_there_is_and_no_other():
    code = [path.read_text() for each in PACKAGES for path in (armed.ROOT / each).rglob("*.py")]

    assert set(re.findall(r"reach\(\"([^\"]+)\"\)", "".join(code))) == POINTS


@on_sqlite
def test_a_normal_start_knows_nothing_of_failpoints(system, outside, orders, checked):
    system.environ["FAILPOINTS"] = ",".join(f"{point}=kill" for point in sorted(POINTS))
    processes = system.start_all("web", "scheduler", "worker")

    orders.one_time(3, outside.agent(), by_api=True)

    checked()
    assert [process.poll() for process in processes] == [None] * 3


@pytest.mark.parametrize(
    "text",
    ["worker.nowhere=kill", "worker.after_claim=explode", "worker.after_claim=kill@0", "", "kill"],
)
def test_what_nobody_can_carry_out_is_refused(text):
    process = subprocess.run(
        [sys.executable, ARMED, "worker"],
        env=environment() | {"FAILPOINTS": text},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert process.returncode == 1
    assert "ValueError: FAILPOINTS" in process.stderr


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("", [True, True, True]),
        ("@2", [False, True, False]),
        ("@2+", [False, True, True]),
    ],
)
def test_an_order_counts_how_often_its_point_is_reached(when, expected):
    broken = saboteur(f"worker.after_claim=raise{when}")

    seen = [is_broken(broken, "worker.after_claim") for _ in range(3)]

    assert seen == expected
    assert not is_broken(broken, "worker.before_claim")


@on_sqlite
def test_a_process_that_waits_goes_on_when_it_may(system, outside, orders, checked, tmp_path):
    orders.run(outside.agent())
    system.start("scheduler")
    system.start("worker", f"worker.after_claim=wait:{tmp_path}")
    wait_until((tmp_path / "worker.after_claim.reached").exists, "the worker to wait")
    assert not outside.lines()

    (tmp_path / "worker.after_claim.go").touch()

    checked()
    assert len(outside.lines("ended")) == 1


@on_sqlite
def test_a_frozen_process_goes_on_when_it_is_thawed(system, outside, orders, checked):
    run_id = orders.run(outside.agent())
    system.start("scheduler")
    worker = system.start("worker", "worker.before_claim=freeze")
    system.wait_for_ice(worker)

    system.thaw(worker)

    checked()
    assert [line.run for line in outside.lines("ended")] == [run_id.replace("-", "")]


def test_a_kill_of_the_api_ends_all_its_processes_and_what_it_committed_stays(
    system, outside, orders, checked
):
    agent = outside.agent()
    web = system.start("web", "api.after_commit=kill")

    with pytest.raises(OSError, match=r"closed|reset|broke off"):
        orders.run(agent, by_api=True)

    system.wait_for_death(web)
    assert system.status_counts() == {"QUEUED": 1}
    system.start_all()
    checked()
    assert len(outside.lines("ended")) == 1
