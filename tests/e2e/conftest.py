"""A house of its own for every end-to-end test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.parts import demo
from tests.support.house import House, open_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """The proxy in front of the simulator, with a keepalive every 100 ms."""
    async with open_house(demo()) as opened:
        yield opened
