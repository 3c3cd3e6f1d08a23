"""A few hundred odd requests through the proxy, and what becomes of each (P24, P25, P26)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.integration.asking import listed
from tests.integration.odd_requests import GROUPS, NEXT, Cases, Outcome
from tests.support.house import House, open_house
from tests.support.loops import both_loops
from tests.support.upstream import Upstream, answer
from tests.support.wire import WITHIN

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        running.always(answer({}))
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(listed(upstream)) as running:
        yield running


async def became(house: House, upstream: Upstream, data: bytes) -> Outcome:
    """Send *data* and a good request in one go, and tell what both sides saw until the connection ended."""
    before = len(upstream.requests)
    reader, writer = await asyncio.open_connection(*house.server.address)
    writer.write(data + NEXT)
    async with asyncio.timeout(WITHIN):
        told = await reader.read()
    writer.close()
    statuses = tuple(int(status) for status in STATUS.findall(told) if status != b"100")
    return Outcome(statuses, tuple(bytes(request.body) for request in upstream.requests[before:]))


@both_loops
@pytest.mark.parametrize("cases", GROUPS.values(), ids=GROUPS.keys())
async def test_odd_request_becomes_what_it_must(house: House, upstream: Upstream, cases: Cases) -> None:
    found = {name: await became(house, upstream, data) for name, (data, _) in cases.items()}

    assert found == {name: outcome for name, (_, outcome) in cases.items()}


def test_there_are_a_few_hundred_of_them() -> None:
    assert sum(len(cases) for cases in GROUPS.values()) > 300
