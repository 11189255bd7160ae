"""The page at /api/v1/docs: read the OpenAPI document, and try it. Nothing comes from elsewhere."""

from importlib.resources import as_file, files

from flask import (
    Blueprint,
    Response,
    make_response,
    redirect,
    render_template,
    send_from_directory,
    url_for,
)

# The style sheet of Swagger UI holds its icons; all else that it wants is a file of ours.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_UI = files("flask_swagger_ui") / "dist"

front = Blueprint("front", __name__)
blp = Blueprint(
    "docs",
    __name__,
    url_prefix="/api/v1/docs",
    static_folder="static/docs",
    static_url_path="/static",
)


@front.get("/")
def door() -> Response:
    """Show people who come to the front door what there is."""
    return make_response(redirect(url_for("docs.page")))


@blp.get("", strict_slashes=False)
def page() -> Response:
    """The page."""
    response = make_response(render_template("docs.html"))
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blp.get("/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'):name>")
def swagger_ui(name: str) -> Response:
    """A file of Swagger UI's."""
    with as_file(SWAGGER_UI) as folder:
        return send_from_directory(folder, name, max_age=3600)
