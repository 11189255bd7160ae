"""Which databases a scenario is for, where it is not for both: `@on_sqlite`."""

import pytest

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
# A server of the test's own, which it may break: the fixture `own_postgres`.
on_own_postgres = pytest.mark.parametrize("database_url", ["own_postgres"], indirect=True)
