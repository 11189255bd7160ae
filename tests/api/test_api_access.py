"""Who may do what."""

from datetime import timedelta

import pytest
from clients import Client
from factories import NOON

from api.app import create_app
from shared import clock, db
from shared.settings import Settings
from shared.states import Role

ADMIN_TOKEN = "a-long-and-secret-admin-token"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer am_unknown",
        "Bearer \xff",
        "Bearer " + "x" * 4000,
        "am_unknown",
    ],
)
def test_without_a_token_nobody_is_let_in(anyone, header):
    headers = {} if header is None else {"Authorization": header}

    response = anyone.get("/schedules", headers=headers)

    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("role", "method", "path", "allowed"),
    [
        ("viewer", "GET", "/schedules", True),
        ("viewer", "GET", "/runs", True),
        ("viewer", "GET", "/agents", True),
        ("viewer", "POST", "/schedules/preview", True),
        ("viewer", "POST", "/schedules", False),
        ("viewer", "PATCH", f"/schedules/{NOBODY}", False),
        ("viewer", "DELETE", f"/schedules/{NOBODY}", False),
        ("viewer", "POST", f"/schedules/{NOBODY}/trigger", False),
        ("viewer", "POST", f"/runs/{NOBODY}/cancel", False),
        ("viewer", "POST", f"/runs/{NOBODY}/retry", False),
        ("viewer", "POST", f"/runs/{NOBODY}/continue", False),
        ("viewer", "POST", "/agents", False),
        ("viewer", "PUT", "/agents/one", False),
        ("viewer", "POST", "/agents/one/runs/background", False),
        ("viewer", "GET", "/tokens", False),
        ("viewer", "GET", "/audit", False),
        ("operator", "POST", "/schedules", True),
        ("operator", "POST", "/agents", True),
        ("operator", "POST", f"/runs/{NOBODY}/cancel", True),
        ("operator", "GET", "/tokens", False),
        ("operator", "POST", "/tokens", False),
        ("operator", "DELETE", f"/tokens/{NOBODY}", False),
        ("operator", "GET", "/audit", False),
        ("admin", "GET", "/tokens", True),
        ("admin", "GET", "/audit", True),
        ("admin", "POST", "/tokens", True),
    ],
)
def test_a_role_may_do_its_part_and_no_more(client_of, role, method, path, allowed):
    client = client_of(Role(role))

    response = client(method, path, None if method == "GET" else {})

    assert (response.status_code != 403) is allowed
    assert response.status_code < 500


def test_the_admin_token_of_the_settings_is_accepted(settings, app):
    with_token = create_app(
        Settings(
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            admin_token=ADMIN_TOKEN,
        )
    )

    response = Client(with_token.test_client(), ADMIN_TOKEN).get("/tokens")
    refused = Client(with_token.test_client(), ADMIN_TOKEN[:-1]).get("/tokens")

    db.proxy.close()
    assert (response.status_code, refused.status_code) == (200, 401)


def test_a_made_token_works_and_is_shown_once(admin, anyone):
    made = admin.post("/tokens", {"name": "Grafana", "role": "viewer"})

    token = made.json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert made.status_code == 201
    assert token.startswith("am_")
    assert len(token) == 46
    assert made.json["prefix"] == token[:10]
    assert anyone.get("/schedules", headers=headers).status_code == 200
    read = admin.get(f"/tokens/{made.json['id']}").json
    assert "token" not in read
    assert made.json.items() >= read.items()
    assert token not in admin.get("/tokens").text
    assert token not in admin.get("/audit").text


def test_a_revoked_token_is_refused_within_a_second(admin, anyone, monkeypatch):
    made = admin.post("/tokens", {"name": "Grafana", "role": "viewer"}).json
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert anyone.get("/schedules", headers=headers).status_code == 200

    revoked = admin.delete(f"/tokens/{made['id']}")
    monkeypatch.setattr(clock, "now", lambda: NOON + timedelta(seconds=1))

    assert revoked.status_code == 204
    assert anyone.get("/schedules", headers=headers).status_code == 401
    assert admin.delete(f"/tokens/{made['id']}").status_code == 409
    assert admin.get(f"/tokens/{made['id']}").json["revokedAt"] == "2026-11-22T12:00:00Z"


def test_a_token_expires(admin, anyone, monkeypatch):
    body = {"name": "Today", "role": "viewer", "expiresAt": "2026-11-22T12:00:00.5Z"}
    made = admin.post("/tokens", body).json
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert anyone.get("/schedules", headers=headers).status_code == 200

    monkeypatch.setattr(clock, "now", lambda: NOON + timedelta(milliseconds=500))

    assert anyone.get("/schedules", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "role": "VIEWER"}, "role"),
        ({"name": "x", "role": "viewer", "expiresAt": "soon"}, "expiresAt"),
        ({"name": "x", "role": "viewer", "expiresAt": "2026-11-22T12:00:00Z"}, "expiresAt"),
        ({"name": "x", "role": "viewer", "token": "mine"}, "token"),
    ],
)
def test_a_wrong_token_is_refused_by_field(admin, body, field):
    response = admin.post("/tokens", body)

    assert response.status_code == 422
    assert field in response.json["errors"]


def test_responses_tell_browsers_to_take_nothing_for_more_than_it_is(viewer):
    headers = viewer.get("/schedules").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
