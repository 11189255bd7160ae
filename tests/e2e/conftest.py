"""The three processes as they are deployed, on a real Valkey and a real database."""

import pytest
from system import System

from shared import agents, clock


@pytest.fixture
def system(system: System) -> System:
    """A system of which nothing runs yet, with the sample agents."""
    agents.seed(now=clock.now())
    return system
