"""The OpenAPI document: complete, and true to what is answered."""

import pytest
from clients import DOCUMENTED
from factories import make_run
from openapi_spec_validator import validate


@pytest.fixture
def document(anyone):
    """The document, which takes no token."""
    response = anyone.get("/openapi.json")
    assert response.status_code == 200
    return response.json


def operations(document):
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and path.startswith("/api/v1")
    ]


def references(part):
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_it_is_openapi_3_1_with_bearer_tokens(document):
    validate(document)

    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"] == {
        "type": "http",
        "scheme": "bearer",
    }


def test_it_names_every_route(document, app):
    served = {
        (method.lower(), str(rule).replace("uuid:", "").replace("slug:", ""))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if str(rule).startswith("/api/v1/")
        and rule.endpoint.split(".")[0] not in {"docs", "api-docs"}
    }

    documented = {
        (method, path.replace("{", "<").replace("}", ">"))
        for method, path, _ in operations(document)
    }

    assert documented == served


def test_each_operation_says_what_it_does_and_which_problems_there_are(document):
    for _, path, operation in operations(document):
        assert operation["summary"], path
        statuses = operation["responses"].keys()
        assert {"401", "403", "503"} <= statuses
        assert any(status.startswith("2") for status in statuses)
        assert "404" in statuses or "{" not in path
        assert {"400", "413", "415", "422"} <= statuses or "requestBody" not in operation


def test_each_field_is_described(document):
    probes = {"Alive", "Ready", "Check"}
    schemas = document["components"]["schemas"]
    for name in schemas.keys() - probes:
        for field, described in schemas[name].get("properties", {}).items():
            assert described.get("description") or "$ref" in described, f"{name}.{field}"


def test_each_reference_leads_somewhere(document):
    for reference in references(document):
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def test_the_documented_calls_are_its_examples(document):
    post = document["paths"]["/api/v1/schedules"]["post"]

    assert post["requestBody"]["content"]["application/json"]["example"] == DOCUMENTED


def test_what_is_a_page_or_a_stream_is_described_as_both(document):
    operation = document["paths"]["/api/v1/runs/{run_id}/events"]["get"]

    assert {each["name"] for each in operation["parameters"]} == {"Last-Event-ID", "page", "size"}
    assert operation["responses"]["200"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/EventPage"}},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    assert "204" in operation["responses"]


@pytest.mark.parametrize("kind", ["schedules", "runs", "agents"])
def test_examples_have_the_keys_that_answers_have(document, operator, schedule_id, kind):
    make_run("finance_agent")
    answer = operator.get(f"/{kind}").json["content"][0]
    path = next(path for path in document["paths"] if path.startswith(f"/api/v1/{kind}/{{"))

    example = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]

    assert example["example"].keys() == answer.keys()


@pytest.mark.parametrize("name", ["Schedule", "Run", "Agent"])
def test_schemas_have_the_keys_that_answers_have(document, operator, schedule_id, name):
    make_run("finance_agent")
    answer = operator.get(f"/{name.lower()}s").json["content"][0]

    assert document["components"]["schemas"][name]["properties"].keys() == answer.keys()
