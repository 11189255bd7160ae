"""The admin token of a data directory: one that works, for its owner's eyes only."""

from datetime import UTC, datetime

from cli import admin_token
from shared import tokens
from shared.states import Role

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def owner(token: str) -> tokens.Principal | None:
    """Whose token it is."""
    return tokens.Doorkeeper().authenticate(token, now=NOON)


def test_the_first_token_is_an_admins_and_readable_for_its_owner_only(database, tmp_path):
    path = tmp_path / "admin-token"

    token = admin_token.ensure(path, now=NOON)

    assert owner(token).role is Role.ADMIN
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_that_works_is_kept(database, tmp_path):
    first = admin_token.ensure(tmp_path / "admin-token", now=NOON)

    second = admin_token.ensure(tmp_path / "admin-token", now=NOON)

    assert second == first


def test_a_deleted_file_is_replaced_by_a_token_that_works(database, tmp_path):
    path = tmp_path / "admin-token"
    first = admin_token.ensure(path, now=NOON)
    path.unlink()

    second = admin_token.ensure(path, now=NOON)

    assert second != first
    assert owner(second).role is Role.ADMIN


def test_a_token_that_the_database_does_not_know_is_replaced(database, tmp_path):
    path = tmp_path / "admin-token"
    path.write_text("am_from_another_database\n")

    token = admin_token.ensure(path, now=NOON)

    assert owner(token).role is Role.ADMIN
    assert path.read_text() == f"{token}\n"


def test_a_revoked_token_is_replaced(database, tmp_path):
    path = tmp_path / "admin-token"
    revoked = admin_token.ensure(path, now=NOON)
    tokens.revoke(owner(revoked).token_id, now=NOON)

    token = admin_token.ensure(path, now=NOON)

    assert token != revoked
    assert owner(token).role is Role.ADMIN


def test_a_token_that_is_less_than_an_admins_is_replaced(database, tmp_path):
    path = tmp_path / "admin-token"
    _, viewer = tokens.create("somebody", Role.VIEWER, now=NOON)
    path.write_text(f"{viewer}\n")

    token = admin_token.ensure(path, now=NOON)

    assert token != viewer
    assert owner(token).role is Role.ADMIN
