"""The import rules of the house: who may know whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("api", "cli", "scheduler", "shared", "worker")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

# Of the time and datetime modules, what asks what time it is.
ASKS_THE_TIME = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"),
    *("time.perf_counter", "time.gmtime()", "time.localtime()"),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            yield called
            if not node.args:
                yield f"{called}()"


def in_package(package: str) -> list[Path]:
    return [path for path in MODULES if path.relative_to(ROOT).parts[0] == package]


@pytest.mark.parametrize("package", ["api", "scheduler", "worker", "cli"])
def test_the_processes_do_not_know_each_other(package):
    others = {"api", "scheduler", "worker", "cli"} - {package}

    assert {
        name_of(path): known
        for path in in_package(package)
        if (known := imported_packages(path) & others)
    } == {}


def test_shared_knows_nobody():
    others = set(PACKAGES) - {"shared"}

    assert [
        name_of(path) for path in in_package("shared") if imported_packages(path) & others
    ] == []


def test_only_cron_imports_croniter():
    importers = [name_of(path) for path in MODULES if "croniter" in imported_packages(path)]

    assert importers == ["shared/cron.py"]


def test_only_the_clock_asks_the_time():
    askers = {
        name_of(path): asked for path in MODULES if (asked := ASKS_THE_TIME & set(calls(path)))
    }

    assert askers.keys() == {"shared/clock.py"}


def test_only_the_settings_read_the_environment():
    readers = [
        name_of(path)
        for path in MODULES
        if any(word in path.read_text() for word in ("os.environ", "os.getenv"))
        or {"os.environ", "os.getenv"} & set(imports(path))
    ]

    assert readers == ["shared/settings.py"]


def test_agents_know_no_database_and_no_queue():
    forbidden = {"peewee", "playhouse", "redis", "dramatiq", "flask"}
    database = {
        *("shared.db", "shared.models", "shared.runs", "shared.leases", "shared.batches"),
        *("shared.dispatch", "shared.messages"),
    }
    agents = [path for path in in_package("worker") if "agents" in path.parts]

    assert agents
    for path in agents:
        assert not imported_packages(path) & forbidden, name_of(path)
        modules = {".".join(name.split(".")[:2]) for name in imports(path)}
        assert not modules & database, name_of(path)


def test_nothing_starts_a_shell():
    assert [name_of(path) for path in MODULES if "shell=True" in path.read_text()] == []
