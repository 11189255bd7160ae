"""What a worker says that it runs on: the machine, or as much of it as its container may use."""

import os
import platform

import pytest

from shared.settings import Settings
from worker import hardware

MIB = 1024 * 1024


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """A control group's folder, in which a test writes files; and a machine of 4 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1024 * 256}.get)
    return tmp_path


@pytest.mark.parametrize(
    ("cpu_max", "processors"),
    [
        (None, 4),
        ("max 100000\n", 4),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("10000 30000\n", 0.333),
        ("800000 100000\n", 4),
        ("", 4),
        ("100000\n", 4),
        ("100000 0\n", 4),
        ("a lot\n", 4),
    ],
)
def test_the_processors_are_those_of_the_machine_or_what_the_control_group_gives(
    cgroup, cpu_max, processors
):
    if cpu_max is not None:
        (cgroup / "cpu.max").write_text(cpu_max)

    assert hardware.processors(cgroup) == processors


def test_a_process_that_is_bound_to_some_processors_has_no_others(cgroup, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2}, raising=False)

    assert hardware.processors(cgroup) == 1


def test_where_processes_are_bound_to_none_all_processors_count(cgroup, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)

    assert hardware.processors(cgroup) == 6


@pytest.mark.parametrize(
    ("memory_max", "memory_mb"),
    [
        (None, 1024),
        ("max\n", 1024),
        (f"{512 * MIB}\n", 512),
        (f"{512 * MIB - 1}\n", 511),
        (f"{4096 * MIB}\n", 1024),
        ("", 1024),
        ("a lot\n", 1024),
    ],
)
def test_the_memory_is_that_of_the_machine_or_what_the_control_group_allows(
    cgroup, memory_max, memory_mb
):
    if memory_max is not None:
        (cgroup / "memory.max").write_text(memory_max)

    assert hardware.memory_mb(cgroup) == memory_mb


@pytest.mark.parametrize(("memory_max", "memory_mb"), [(None, None), (f"{512 * MIB}\n", 512)])
def test_a_machine_that_does_not_tell_its_memory_has_what_the_control_group_says(
    cgroup, monkeypatch, memory_max, memory_mb
):
    def refuse(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", refuse)
    if memory_max is not None:
        (cgroup / "memory.max").write_text(memory_max)

    assert hardware.memory_mb(cgroup) == memory_mb


def test_what_the_provider_calls_the_machine_is_what_the_deployment_says():
    named = Settings(instance_type="m7i.large", region="eu-central-1", worker_threads=3)

    described = hardware.describe(named)

    assert described == {
        "instanceType": "m7i.large",
        "region": "eu-central-1",
        "machine": platform.machine(),
        "vcpu": hardware.processors(),
        "memoryMb": hardware.memory_mb(),
        "threads": 3,
    }
    assert hardware.describe(Settings()).items() >= {"instanceType": None, "region": None}.items()
