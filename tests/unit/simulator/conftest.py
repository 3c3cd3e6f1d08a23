from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.simulator import Simulator
from tests.unit.simulator.support import Ask, RawClient, exchange


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator without pauses between tokens."""
    simulator = Simulator(pace=0)
    yield simulator
    await simulator.close()


@pytest.fixture
async def url(simulator: Simulator) -> str:
    return await simulator.start()


@pytest.fixture
def ask(url: str) -> Ask:
    """Send one request and return the connection when its response is complete."""

    async def ask(sent: bytes) -> RawClient:
        return await exchange(url, sent)

    return ask
