"""Real Prefect and real HTTP, with the command in the test's own process to save time."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.conftest import Finished, World


@pytest.fixture
def world(world: World, here: Callable[..., Finished]) -> World:
    """The world of a test, whose exports run in this process."""
    return replace(world, run_here=here)
