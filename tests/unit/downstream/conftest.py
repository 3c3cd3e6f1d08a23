"""What the tests of the client's side begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.downstream import ClientConnection
from tests.unit.downstream.listening import listening


@pytest.fixture
async def connection() -> AsyncIterator[ClientConnection]:
    """A client's connection to a listener."""
    async with listening() as listener:
        yield listener.server()
