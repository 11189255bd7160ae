"""`agent-manager token`, from the command line to the table."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from peewee import Database

from cli.main import main
from shared import clock, db, tokens
from shared.models import ApiToken, AuditEvent
from shared.states import Role


@pytest.fixture
def run(database: Database, database_url: str) -> "Run":
    return Run(database_url)


class Run:
    """Runs `agent-manager token …` on the test's database."""

    def __init__(self, database_url: str) -> None:
        self._environment = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1"}

    def __call__(self, *words: str) -> Result:
        ours = db.proxy.obj
        result = CliRunner().invoke(main, ["token", *words], env=self._environment)
        db.proxy.initialize(ours)
        return result


def test_a_new_token_stands_alone_on_standard_output(run: Run) -> None:
    result = run("create", "ci", "--role", "operator")

    secret = result.stdout.removesuffix("\n")
    principal = tokens.Doorkeeper().authenticate(secret, now=clock.now())
    assert result.exit_code == 0
    assert principal is not None
    assert (principal.name, principal.role) == ("ci", Role.OPERATOR)
    assert "not shown again" in result.stderr


def test_a_token_can_be_made_to_expire(run: Run) -> None:
    run("create", "visitor", "--role", "viewer", "--expires-days", "3")

    token = ApiToken.get()
    assert token.expires_at - token.created_at == timedelta(days=3)


def test_what_was_done_to_tokens_is_recorded(run: Run) -> None:
    secret = run("create", "ci", "--role", "admin").stdout.strip()
    run("revoke", str(ApiToken.get().id))

    events = list(AuditEvent.select().order_by(AuditEvent.at))
    assert [(each.actor, each.action) for each in events] == [
        ("cli", "token.create"),
        ("cli", "token.revoke"),
    ]
    assert {each.resource_id for each in events} == {str(ApiToken.get().id)}
    assert secret not in str([each.changes for each in events])


def test_a_revoked_token_is_refused(run: Run) -> None:
    secret = run("create", "ci", "--role", "admin").stdout.strip()

    result = run("revoke", str(ApiToken.get().id))

    assert result.exit_code == 0
    assert tokens.Doorkeeper().authenticate(secret, now=clock.now()) is None


def test_what_does_not_exist_cannot_be_revoked(run: Run) -> None:
    result = run("revoke", str(UUID(int=7)))

    assert result.exit_code == 1
    assert f"There is no token {UUID(int=7)}." in result.stderr
    assert AuditEvent.select().count() == 0


def test_the_list_shows_each_token_and_no_secret(run: Run) -> None:
    first = run("create", "ci", "--role", "operator", "--expires-days", "1").stdout.strip()
    run("create", "Zoë from accounting", "--role", "viewer")
    run("revoke", str(ApiToken.get(name="ci").id))

    heading, newest, oldest = run("list").stdout.splitlines()

    for column in ("CREATED", "EXPIRES", "REVOKED"):
        assert oldest[heading.index(column) :].startswith("20")
    assert newest[heading.index("REVOKED") :] == "-"
    assert newest.startswith(str(ApiToken.get(name="Zoë from accounting").id))
    assert first not in oldest
    assert first[:10] in oldest


def test_the_list_is_whole_however_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.token.LARGEST_SIZE", 2)
    for second, name in enumerate("abcde"):
        tokens.create(name, Role.VIEWER, now=clock.now() + timedelta(seconds=second))

    lines = run("list").stdout.splitlines()

    assert [line.split()[1] for line in lines] == ["NAME", "e", "d", "c", "b", "a"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "\udcff"])
def test_a_name_that_cannot_be_read_is_refused(run: Run, name: str) -> None:
    result = run("create", name, "--role", "viewer")

    assert result.exit_code == 2
    assert ApiToken.select().count() == 0


def test_without_a_database_there_is_a_sentence(tmp_path: Path) -> None:
    result = Run(f"sqlite:///{tmp_path}/none.db")("list")

    assert result.exit_code == 1
    assert "There is no database yet." in result.stderr
    assert "agent-manager migrate" in result.stderr
    assert list(tmp_path.iterdir()) == []
