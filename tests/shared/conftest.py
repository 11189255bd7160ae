"""Fixtures for what all processes share."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared import db


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """Call functions in threads, each with a connection of its own; what they gave."""
    with ThreadPoolExecutor(8) as pool:

        def call(*functions: Callable[[], Any]) -> list[Any]:
            barrier = threading.Barrier(len(functions))

            def run(function: Callable[[], Any]) -> Any:
                with db.connection():
                    barrier.wait(10)
                    return function()

            return [future.result(30) for future in [pool.submit(run, each) for each in functions]]

        yield call
