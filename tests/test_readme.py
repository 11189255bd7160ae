"""What the README says of names and defaults is so."""

import dataclasses
import re
from datetime import timedelta
from pathlib import Path

import pytest
from factories import NOON
from serving import serving

from api.metrics import Reading
from shared import vitals
from shared.settings import SECRET_PREFIX, Settings, variable
from shared.states import ErrorCode

README = (Path(__file__).parent.parent / "README.md").read_text()


def shown(value):
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():g}"
        case dict():
            return ""
    return str(value)


def test_the_table_of_settings_is_the_class():
    rows = re.findall(r"^\| `([A-Z_…]+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE)
    defaults = Settings()

    wanted = {
        variable(each.name): shown(getattr(defaults, each.name))
        for each in dataclasses.fields(Settings)
        if each.name != "secrets"
    }
    assert dict(rows) == {**wanted, f"{SECRET_PREFIX}…": ""}


@pytest.mark.usefixtures("database")
def test_the_table_of_metrics_is_what_is_measured():
    rows = re.findall(r"^\| `(agent_manager_\w+)` \| (\w+) \| (.*) \|$", README, re.MULTILINE)

    measured = Reading(vitals.pulse(NOON), vitals.load(), []).collect()

    assert rows == [
        (each.name + "_total" * (each.type == "counter"), each.type, each.documentation)
        for each in measured
    ]


def test_every_error_code_is_explained():
    assert {code for code in ErrorCode if f"`{code}`" in README} == set(ErrorCode)


def test_every_route_is_in_the_short_table(settings):
    table = README[README.index("## The API in short") : README.index("## Three processes")]
    told = set(re.findall(r"(?<=[ `])/[a-z{}/-]+", table))
    documents = ("/openapi.json", "/docs")
    front_door = {"/"}
    with serving(settings) as client:
        rules = {
            re.sub(r"<(?:\w+:)?\w+>", "{id}", rule.rule).removeprefix("/api/v1")
            for rule in client.application.url_map.iter_rules()
        }

    resources = {rule for rule in rules if not rule.startswith(documents)}
    untold = {rule for rule in resources if rule not in told}
    of_a_run = ("/cancel", "/retry", "/continue")
    of_a_batch = ("/results", "/events", "/pause", "/resume", "/retry-failed")
    short = of_a_run + of_a_batch
    assert {rule for rule in untold if not rule.endswith(short)} == front_door


def test_every_promise_names_tests_that_exist():
    promises = README[README.index("## Promises") : README.index("## Settings")]
    listed = re.findall(r"^ *\d+\. \*(.*?)(?=^ *\d+\. \*|^`make faults`)", promises, re.M | re.S)
    files = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}

    assert len(listed) == 13
    for promise in listed:
        named = set(re.findall(r"`(test_\w+)`", promise))
        assert named, promise
        assert named <= files
