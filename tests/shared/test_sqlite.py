"""What SQLite does differently from other databases."""

import peewee
import pytest

from shared import db


@pytest.fixture
def _sqlite(sqlite_url):
    connected = db.connect(sqlite_url)
    yield
    connected.close()
    db.proxy.obj = None


@pytest.mark.usefixtures("_sqlite")
def test_it_is_said_that_the_disk_is_full():
    db.execute("PRAGMA max_page_count = 1")  # As many as there are.

    with pytest.raises(peewee.OperationalError, match="disk is full"), db.transaction():
        db.execute("CREATE TABLE thing AS SELECT hex(randomblob(1000000)) AS text")

    with db.connection():
        assert db.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.usefixtures("_sqlite")
def test_that_the_disk_is_full_may_only_be_seen_when_rows_are_fetched():
    db.execute("CREATE TABLE thing (text TEXT)")
    db.execute("PRAGMA max_page_count = 1")

    with pytest.raises(db.UNREACHABLE, match="disk is full"), db.connection():
        db.execute("INSERT INTO thing SELECT hex(randomblob(1000000)) RETURNING 1").fetchone()
