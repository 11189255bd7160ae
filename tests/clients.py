"""How tests speak to the API."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

DOCUMENTED = {
    "name": "Daily Sales Summary",
    "agentId": "finance_agent",
    "message": "Generate a summary of today's sales data",
    "cronExpression": "0 8 * * *",
    "enabled": True,
}


class Client:
    """Sends requests with a token, to paths under `/api/v1`."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        #: For what is elsewhere, and takes no token.
        self.bare = client
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> TestResponse:
        options["headers"] = self._headers | options.get("headers", {})
        if json is not None:
            options["json"] = json
        return self.bare.open(f"/api/v1{path}", method=method, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self("POST", path, json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self("PUT", path, json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self("PATCH", path, json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self("DELETE", path, **options)
