"""`agent-manager migrate` and what all commands share."""

from importlib.metadata import version
from pathlib import Path

import pytest
from running import agent_manager

from shared import migrations


def test_the_version_is_the_installed_one():
    said = agent_manager("--version")

    assert said.stdout == f"agent-manager, version {version('agent-manager')}\n"


def test_help_names_the_commands():
    said = agent_manager("--help")

    assert all(name in said.stdout for name in ("up", "migrate", "token", "doctor", "backup"))


def test_migrate_says_what_it_did(tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"

    files = Path(migrations.__file__).parent.glob("[0-9]*.py")
    released = sorted(file.stem for file in files)
    first = agent_manager("migrate", DATABASE_URL=url)
    second = agent_manager("migrate", DATABASE_URL=url)

    assert first.stdout == "".join(f"Applied {name}.\n" for name in released)
    assert second.stdout == "The database is up to date.\n"


@pytest.mark.parametrize("url", ["sqlite:////nowhere/x.db", "sqlite:///", "mysql://db/x"])
def test_a_database_that_cannot_be_is_a_sentence(url):
    refused = agent_manager("migrate", DATABASE_URL=url)

    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: DATABASE_URL")
    assert refused.stderr.count("\n") == 1


def test_a_file_that_is_no_database_is_a_sentence(tmp_path):
    (tmp_path / "letter.db").write_text("Dear database, " * 1000)

    refused = agent_manager("migrate", DATABASE_URL=f"sqlite:///{tmp_path}/letter.db")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
