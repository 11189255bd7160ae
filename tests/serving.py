"""The API, served to a client in the same process."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask.testing import FlaskClient

from api.app import create_app
from shared import db
from shared.settings import Settings


@contextmanager
def serving(settings: Settings) -> Iterator[FlaskClient]:
    """A client of an API with *settings*, whose own connections are closed at the end."""
    ours = db.proxy.obj
    app = create_app(settings)
    try:
        yield app.test_client()
    finally:
        db.proxy.close()
        if not db.is_sqlite():
            db.proxy.close_all()
        db.proxy.obj = ours
