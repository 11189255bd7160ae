"""Tokens: made, recognised, forgotten in time."""

from datetime import timedelta

import pytest
from factories import NOON

from shared import tokens
from shared.errors import Conflict, Invalid
from shared.models import ApiToken
from shared.states import Role
from shared.tokens import Doorkeeper

pytestmark = pytest.mark.usefixtures("database")

SECOND = timedelta(seconds=1)


def test_a_token_is_recognised_and_nothing_of_it_is_kept():
    token_id, token = tokens.create("Grafana", Role.VIEWER, now=NOON)

    principal = Doorkeeper().authenticate(token, now=NOON)

    assert principal is not None
    assert (principal.name, principal.role) == ("Grafana", Role.VIEWER)
    assert principal.token_id == token_id
    kept = ApiToken.get_by_id(token_id)
    assert token not in str(kept.__data__)
    assert kept.prefix == token[:10]


@pytest.mark.parametrize("token", ["", "am_", "am_" + "x" * 43, "\udfff", "\0"])
def test_what_is_no_token_is_nobodys(token):
    tokens.create("Grafana", Role.VIEWER, now=NOON)

    assert Doorkeeper().authenticate(token, now=NOON) is None


def test_a_token_is_looked_up_once_a_second(monkeypatch):
    _, token = tokens.create("Grafana", Role.VIEWER, now=NOON)
    doorkeeper = Doorkeeper()
    looked_up = []
    look_up = doorkeeper._look_up
    monkeypatch.setattr(doorkeeper, "_look_up", lambda *each: looked_up.append(1) or look_up(*each))

    for millis in (0, 500, 999, 1000, 1500):
        doorkeeper.authenticate(token, now=NOON + timedelta(milliseconds=millis))

    assert len(looked_up) == 2


def test_a_revoked_token_is_refused_within_a_second():
    token_id, token = tokens.create("Grafana", Role.VIEWER, now=NOON)
    doorkeeper = Doorkeeper()
    assert doorkeeper.authenticate(token, now=NOON)

    tokens.revoke(token_id, now=NOON)

    assert doorkeeper.authenticate(token, now=NOON + SECOND) is None
    with pytest.raises(Conflict):
        tokens.revoke(token_id, now=NOON)


def test_what_is_remembered_does_not_outlive_the_token():
    _, token = tokens.create("Today", Role.VIEWER, expires_at=NOON + SECOND / 2, now=NOON)
    doorkeeper = Doorkeeper()
    assert doorkeeper.authenticate(token, now=NOON)

    assert doorkeeper.authenticate(token, now=NOON + SECOND / 2) is None


def test_a_clock_that_was_put_back_prolongs_nothing():
    token_id, token = tokens.create("Grafana", Role.VIEWER, now=NOON)
    doorkeeper = Doorkeeper()
    assert doorkeeper.authenticate(token, now=NOON + 3600 * SECOND)

    tokens.revoke(token_id, now=NOON)

    assert doorkeeper.authenticate(token, now=NOON) is None


def test_only_so_many_tokens_are_remembered(monkeypatch):
    monkeypatch.setattr(tokens, "_MOST_REMEMBERED", 2)
    doorkeeper = Doorkeeper()

    for _ in range(5):
        _, token = tokens.create("Grafana", Role.VIEWER, now=NOON)
        assert doorkeeper.authenticate(token, now=NOON)

    assert len(doorkeeper._known) <= 2


def test_a_token_that_would_have_expired_is_not_made():
    with pytest.raises(Invalid):
        tokens.create("Late", Role.VIEWER, expires_at=NOON, now=NOON)


def test_without_an_admin_token_nothing_is_one():
    assert Doorkeeper("").authenticate("", now=NOON) is None
    admin = Doorkeeper("secret").authenticate("secret", now=NOON)
    assert admin is not None
    assert admin.role is Role.ADMIN
