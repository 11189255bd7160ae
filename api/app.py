"""create_app(settings): the one place where the API is put together."""

from flask import Flask, Response

from api import (
    agents,
    audit,
    batches,
    budgets,
    compute_profiles,
    costs,
    docs,
    health,
    live_batches,
    metrics,
    openapi,
    problems,
    queues,
    runs,
    schedules,
    services,
    sessions,
    tokens,
)
from api.live import Watch
from api.long_requests import LongRequests
from api.services import Services
from shared import db, history, log, messages
from shared.dispatch import Dispatcher
from shared.settings import Settings, load
from shared.tokens import Doorkeeper


def create_app(settings: Settings | None = None) -> Flask:
    """The application, with *settings* or those of the environment."""
    if settings is None:
        settings = load()
        log.setup(settings.log_level)
    db.connect(
        settings.database_url,
        connections=settings.database_connections,
        patience=settings.database_timeout,
    )
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.body_limit
    app.url_map.strict_slashes = False
    client = messages.publisher(settings.redis_url)
    long_requests = LongRequests()
    app.extensions[services.KEY] = Services(
        settings,
        Doorkeeper(settings.admin_token),
        client,
        Dispatcher(client, window=settings.dispatch_window, resend_after=settings.resend_after),
        long_requests,
        Watch("batches", live_batches.look, long_requests),
        Watch("runs", history.progress_of, long_requests),
    )
    api = openapi.make_api(app)
    problems.register(app)
    for resource, path in (
        (schedules.blp, "/schedules"),
        (batches.blp, "/schedules/batches"),
        (runs.blp, "/runs"),
        (agents.blp, "/agents"),
        (sessions.blp, "/sessions"),
        (budgets.blp, "/budgets"),
        (compute_profiles.blp, "/compute-profiles"),
        (queues.blp, "/queues"),
        (costs.blp, "/costs"),
        (tokens.blp, "/tokens"),
        (audit.blp, "/audit"),
    ):
        api.register_blueprint(resource, url_prefix=openapi.PREFIX + path)
    api.register_blueprint(health.blp)
    api.register_blueprint(metrics.blp)
    app.register_blueprint(docs.blp)
    app.register_blueprint(docs.front)
    app.after_request(_secured)
    return app


def _secured(response: Response) -> Response:
    """Tell browsers to take nothing for more than it is."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    if "Content-Security-Policy" not in headers:
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return response
