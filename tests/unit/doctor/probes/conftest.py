"""A real proxy to be probed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.house import House, open_house, settings


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """One without an upstream; its keepalives come every 200 ms."""
    async with open_house(settings(diagnostics={"public": True}, limits={"body": "64KiB"})) as opened:
        yield opened
