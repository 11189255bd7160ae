"""The three processes as they are deployed, on a real Valkey and a real database."""

from collections.abc import Iterator

import pytest
from system import System

from shared import agents, clock


@pytest.fixture
def system(
    database: object, database_url: str, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system of which nothing runs yet, with the sample agents."""
    agents.seed(now=clock.now())
    running = System(database_url, valkey, tmp_path_factory.mktemp("logs"))
    try:
        yield running
    finally:
        running.stop()
        print(running.logs())  # pytest shows it where a test failed.
