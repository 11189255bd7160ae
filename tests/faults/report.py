"""The report at the end of `make faults`: a line for each scenario and database."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_ID = re.compile(
    r"tests/faults/test_(?P<subject>\w+)\.py::test_(?P<name>\w+)(\[(?P<parameters>.*)\])?"
)
_DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "own_postgres": "PostgreSQL"}
# What tests the harness is no scenario.
_HARNESS = {"armed", "checker", "checker_of_batches", "faketime", "orders", "proxy", "report"}
_REPETITION = re.compile(r"time\d+")
_OUTCOMES = {"passed": True, "failed": False, "error": False}


@dataclass(frozen=True, order=True)
class Scenario:
    """What was tried: of which subject, what, and on which database."""

    subject: str
    says: str
    database: str

    @classmethod
    def of(cls, node_id: str) -> "Scenario | None":
        """The scenario that a test of that id is one time of. None: it is none of ours."""
        match = _ID.fullmatch(node_id)
        if match is None or match["subject"] in _HARNESS:
            return None
        words = (match["parameters"] or "").split("-")
        database = next((_DATABASES[word] for word in words if word in _DATABASES), "")
        others = [
            word for word in words if word not in _DATABASES and not _REPETITION.fullmatch(word)
        ]
        name = match["name"].replace("_", " ")
        says = f"{name} ({' '.join(others)})" if any(others) else name
        return cls(match["subject"].replace("_", " "), says, database)


@dataclass
class Tally:
    """How a scenario went."""

    passed: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        took = f"{statistics.median(self.seconds):.1f} s" if self.seconds else ""
        longest = f", at most {max(self.seconds):.1f} s" if len(self.seconds) > 1 else ""
        failed = f", FAILED {self.failed}" if self.failed else ""
        return f"passed {self.passed}{failed}  {took}{longest}"


def write(terminal: Any) -> None:
    """Write the report, if it was asked for."""
    if not terminal.config.getoption("fault_report", False):
        return
    seen = [
        # A file that cannot even be read has no duration.
        (outcome, each.nodeid, getattr(each, "duration", 0.0))
        for outcome in _OUTCOMES
        for each in terminal.stats.get(outcome, ())
    ]
    terminal.section("No run lost, none run twice", bold=True)
    for line in lines(seen):
        terminal.write_line(line, red="FAILED" in line)


def lines(seen: Iterable[tuple[str, str, float]]) -> list[str]:
    """The report on what was *seen*: outcomes, ids of tests, seconds."""
    tallies: dict[Scenario, Tally] = defaultdict(Tally)
    for outcome, node_id, seconds in seen:
        scenario = Scenario.of(node_id)
        if scenario is None:
            continue
        tally = tallies[scenario]
        if _OUTCOMES[outcome]:
            tally.passed += 1
            tally.seconds.append(seconds)
        else:
            tally.failed += 1
    return [*_by_subject(tallies), "", _total(tallies)]


def _by_subject(tallies: dict[Scenario, Tally]) -> Iterable[str]:
    width = max((len(scenario.says) for scenario in tallies), default=0)
    subject = ""
    for scenario in sorted(tallies):
        if scenario.subject != subject:
            subject = scenario.subject
            yield ""
            yield subject.capitalize()
        yield f"  {scenario.says:<{width}}  {scenario.database:<10}  {tallies[scenario]}"


def _total(tallies: dict[Scenario, Tally]) -> str:
    passed = sum(tally.passed for tally in tallies.values())
    failed = sum(tally.failed for tally in tallies.values())
    scenarios = len({(scenario.subject, scenario.says) for scenario in tallies})
    return f"{scenarios} scenarios: passed {passed} times, failed {failed} times."
