"""/api/v1/docs: a page whose every part comes from here, and may run nothing else."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from serving import serving

from shared.settings import Settings

DOCS = "/api/v1/docs"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with serving(Settings(database_url=f"sqlite:///{tmp_path}/none.db")) as client:
        yield client


class Parts(HTMLParser):
    """The addresses that a page names, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._in_code = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_code = tag in {"script", "style"}
        for name, value in attributes:
            if name in {"src", "href", "data-document"}:
                self.addresses.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_code and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", [DOCS, f"{DOCS}/"])
def test_the_page_is_open_to_all(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert response.content_type.startswith("text/html")


def test_all_that_the_page_names_is_here(client: FlaskClient) -> None:
    parts = Parts(client.get(DOCS).text)

    answers = {each: client.get(each, buffered=True) for each in parts.addresses}

    assert all(each.status_code == 200 for each in answers.values())
    assert {address: each.mimetype for address, each in answers.items()} == {
        f"{DOCS}/favicon-32x32.png": "image/png",
        f"{DOCS}/swagger-ui.css": "text/css",
        f"{DOCS}/swagger-ui-bundle.js": "text/javascript",
        f"{DOCS}/static/start.js": "text/javascript",
        "/api/v1/openapi.json": "application/json",
    }


def test_the_page_has_no_code_in_it_and_may_have_none(client: FlaskClient) -> None:
    response = client.get(DOCS)

    policy = response.headers["Content-Security-Policy"]
    assert Parts(response.text).inline == []
    assert policy.startswith("default-src 'none'; script-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_style_sheet_names_no_other_host(client: FlaskClient) -> None:
    style = client.get(f"{DOCS}/swagger-ui.css", buffered=True).text

    assert not re.findall(r"@import|url\((?![\"']?data:)", style)


def test_nothing_asks_the_online_validator_or_keeps_the_token(client: FlaskClient) -> None:
    start = client.get(f"{DOCS}/static/start.js", buffered=True).text

    assert "validatorUrl: null" in start
    assert "persistAuthorization: false" in start


def test_swagger_ui_reads_documents_of_our_version(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").json

    assert document["openapi"] == "3.1.0"
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


@pytest.mark.parametrize(
    "path", ["LICENSE", "oauth2-redirect.html", "../__init__.py", "..%2f__init__.py", "static/../x"]
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    response = client.get(f"{DOCS}/{path}")

    assert response.status_code == 404


def test_the_front_door_leads_to_the_page(settings):
    with serving(settings) as client:
        response = client.get("/")

    assert response.status_code == 302
    assert response.headers["Location"] == "/api/v1/docs"
