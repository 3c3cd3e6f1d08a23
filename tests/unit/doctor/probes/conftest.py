"""A real proxy to be probed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.house import House, open_house, settings


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """One without an upstream; its keepalives come every 200 ms."""
    configured = settings(diagnostics={"public": True}, limits={"body": "64KiB"}, streaming={"keepalive_interval": "200ms"})
    async with open_house(configured) as opened:
        yield opened
