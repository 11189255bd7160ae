"""Hostile requests: each is refused with a problem that names the field, and none is our fault."""

import json
from io import BytesIO
from uuid import uuid4

import pytest
from clients import DOCUMENTED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.models import Schedule

LONG = "x" * 300_000


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \n"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"agentId": "nobody"}, "agentId"),
        ({"agentId": "'; DROP TABLE agent"}, "agentId"),
        ({"agentId": {}}, "agentId"),
        ({"message": ""}, "message"),
        ({"message": LONG}, "message"),
        ({"message": "é" * 150_000}, "message"),
        ({"message": "\udfff"}, "message"),
        ({"cronExpression": None}, "cronExpression"),
        ({"cronExpression": ""}, "cronExpression"),
        ({"cronExpression": "* * * *"}, "cronExpression"),
        ({"cronExpression": "* * * * * *"}, "cronExpression"),
        ({"cronExpression": "0 0 31 2 *"}, "cronExpression"),
        ({"cronExpression": "0 8 * * *\n"}, "cronExpression"),
        ({"cronExpression": "\u0660 8 * * *"}, "cronExpression"),
        ({"cronExpression": "1," * 20_000 + "1 * * * *"}, "cronExpression"),
        ({"cronExpression": 5}, "cronExpression"),
        ({"runAt": "2027-01-01T00:00:00Z"}, "runAt"),
        ({"cronExpression": None, "runAt": "2026-11-22T12:00:00Z"}, "runAt"),
        ({"cronExpression": None, "runAt": "2027-01-01T00:00:00"}, "runAt"),
        ({"cronExpression": None, "runAt": "2027-01-01"}, "runAt"),
        ({"cronExpression": None, "runAt": "0001-01-01T00:00:00+14:00"}, "runAt"),
        ({"cronExpression": None, "runAt": "9999-12-31T23:59:59-14:00"}, "runAt"),
        ({"cronExpression": None, "runAt": "2027-02-30T00:00:00Z"}, "runAt"),
        ({"cronExpression": None, "runAt": 1_800_000_000}, "runAt"),
        (
            {
                "cronExpression": None,
                "runAt": "2027-01-01T00:00:00Z",
                "endAt": "2026-12-31T00:00:00Z",
            },
            "runAt",
        ),
        ({"enabled": "true"}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "/etc/localtime"}, "timezone"),
        ({"timezone": "europe/berlin"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"startAt": "2027-01-02T00:00:00Z", "endAt": "2027-01-02T00:00:00Z"}, "endAt"),
        ({"overlapPolicy": "skip"}, "overlapPolicy"),
        ({"overlapPolicy": ["SKIP"]}, "overlapPolicy"),
        ({"catchUpPolicy": {}}, "catchUpPolicy"),
        ({"catchUpWindowSeconds": -1}, "catchUpWindowSeconds"),
        ({"catchUpWindowSeconds": 2_592_001}, "catchUpWindowSeconds"),
        ({"jitterSeconds": 3601}, "jitterSeconds"),
        ({"jitterSeconds": 1.5}, "jitterSeconds"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"timeoutSeconds": 86_401}, "timeoutSeconds"),
        ({"timeoutSeconds": True}, "timeoutSeconds"),
        ({"timeoutSeconds": "60"}, "timeoutSeconds"),
        ({"maxAttempts": 0}, "maxAttempts"),
        ({"maxAttempts": 21}, "maxAttempts"),
        ({"maxAttempts": 10**29}, "maxAttempts"),
        ({"maxAttempts": None}, "maxAttempts"),
        ({"retryBackoffSeconds": 86_401}, "retryBackoffSeconds"),
        ({"priority": 10}, "priority"),
        ({"priority": 1e300}, "priority"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"tags": [None]}, "tags"),
        ({"tags": "red"}, "tags"),
        ({"tags": ["a\0"]}, "tags.0"),
        ({"id": str(uuid4())}, "id"),
        ({"nextRunAt": "2027-01-01T00:00:00Z"}, "nextRunAt"),
        ({"__proto__": 1}, "__proto__"),
        ({"agent_id": "finance_agent"}, "agent_id"),
        ({"\0": 1}, "body"),
    ],
)
def test_a_wrong_value_is_refused_by_name(operator, finance_agent, wrong, field):
    response = operator.post("/schedules", DOCUMENTED | wrong)

    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert field in response.json["errors"]
    assert all(isinstance(text, str) for text in response.json["errors"][field])
    assert Schedule.select().count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe{\x00}\x00",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"priority": 1e400}',
        b'{"priority": ' + b"9" * 5000 + b"}",
        b'{"name": "a", "name": "b"}',
        b'{"tags": {"a": 1, "a": 2}}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b'{"name": "\x01"}',
        b"{} {}",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_what_is_no_sound_json_is_refused(operator, body):
    response = operator.post("/schedules", data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"7", b"true"])
def test_json_that_is_no_object_is_refused(operator, body):
    response = operator.post("/schedules", data=body, content_type="application/json")

    assert response.status_code == 422
    assert "body" in response.json["errors"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_what_is_not_said_to_be_json_is_refused(operator, content_type):
    response = operator.post("/schedules", data=b"{}", content_type=content_type)

    assert response.status_code == 415


def test_the_content_type_may_name_its_charset(operator, finance_agent):
    response = operator.post(
        "/schedules", data=json.dumps(DOCUMENTED), content_type="application/json; charset=utf-8"
    )

    assert response.status_code == 201


def test_a_body_beyond_the_limit_is_refused(operator, app):
    body = b" " * (app.config["MAX_CONTENT_LENGTH"] + 1)

    response = operator.post("/schedules", data=body, content_type="application/json")

    assert response.status_code == 413
    assert response.content_type == "application/problem+json"
    assert "1,048,576 bytes are the limit" in response.json["detail"]


@pytest.mark.parametrize("key", [None, "key"])
def test_a_body_in_chunks_is_not_cut_off_at_the_limit_but_refused(operator, app, key):
    document = json.dumps(DOCUMENTED).encode()
    body = document + b" " * app.config["MAX_CONTENT_LENGTH"] + b"garbage"

    response = operator.post(
        "/schedules",
        content_type="application/json",
        # As gunicorn has it; the client of the tests would count the bytes.
        environ_overrides={
            "wsgi.input": BytesIO(body),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
        },
        headers={"Idempotency-Key": key} if key else {},
    )

    assert response.status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/schedules/not-a-uuid",
        "/schedules/%00",
        "/schedules/" + "0" * 2000,
        "/agents/UPPER",
        "/agents/%00",
        "/agents/" + "a" * 65,
        "/agents/a%0a",
        "/runs/..%2f..",
        "/%ff",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(admin, path):
    response = admin.get(path)

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json["status"] == 404


def test_a_method_that_is_not_served_names_those_that_are(admin):
    response = admin.put("/schedules", {})

    assert response.status_code == 405
    assert response.content_type == "application/problem+json"
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\t", "é"])
def test_a_key_that_is_none_is_refused(operator, finance_agent, key):
    response = operator.post("/schedules", DOCUMENTED, headers={"Idempotency-Key": key})

    assert response.status_code == 422
    assert "Idempotency-Key" in response.json["errors"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=250) | ANY_JSON,
        "agentId": st.just("finance_agent") | st.text() | ANY_JSON,
        "message": st.text() | ANY_JSON,
        "cronExpression": st.from_regex(r"([*]|[0-9]{1,2})(/[0-9])?( [*0-9,/-]{1,4}){4}")
        | st.text()
        | ANY_JSON,
        "runAt": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.text() | ANY_JSON,
        "startAt": st.datetimes().map(lambda at: f"{at.isoformat()}-12:00") | ANY_JSON,
        "endAt": st.datetimes().map(lambda at: f"{at.isoformat()}+14:00") | ANY_JSON,
        "timezone": st.sampled_from(["UTC", "Pacific/Apia", "Europe/Berlin"]) | ANY_JSON,
        "enabled": ANY_JSON,
        "overlapPolicy": st.sampled_from(["SKIP", "ALLOW"]) | ANY_JSON,
        "catchUpPolicy": ANY_JSON,
        "catchUpWindowSeconds": st.integers() | ANY_JSON,
        "jitterSeconds": st.integers() | ANY_JSON,
        "timeoutSeconds": st.integers() | ANY_JSON,
        "maxAttempts": st.integers() | ANY_JSON,
        "retryBackoffSeconds": ANY_JSON,
        "priority": st.integers(0, 9) | ANY_JSON,
        "tags": st.lists(st.text()) | ANY_JSON,
    },
)


@given(body=ALMOST.map(lambda wrong: DOCUMENTED | wrong) | ANY_JSON)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_body_is_ever_our_fault(operator, finance_agent, body):
    response = operator.post("/schedules", data=json.dumps(body), content_type="application/json")

    assert response.status_code in {201, 400, 422}
    if response.status_code == 201:
        read = operator.get(f"/schedules/{response.json['id']}")
        assert read.json == response.json
    else:
        assert response.content_type == "application/problem+json"


@given(raw=st.binary(max_size=200) | st.text().map(str.encode))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_are_ever_our_fault(operator, raw):
    response = operator.post("/schedules", data=raw, content_type="application/json")

    assert response.status_code in {400, 422}
