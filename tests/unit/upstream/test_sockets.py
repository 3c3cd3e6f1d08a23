from __future__ import annotations

import asyncio

import pytest

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.sockets import closed_in_order, drop
from tests.support.upstream import Upstream
from tests.support.wire import How
from tests.unit.upstream.support import connected


def transport_of(connection: UpstreamConnection) -> asyncio.Transport:
    assert connection.transport is not None
    return connection.transport


@pytest.mark.parametrize(("reset", "how"), [(True, How.RST), (False, How.FIN)])
async def test_peer_sees_how_a_connection_was_dropped(reset: bool, how: How) -> None:
    async with Upstream() as upstream, connected(upstream) as connection:
        await upstream.connected()

        drop(transport_of(connection), reset=reset)

        assert (await upstream.closed()).how is how


async def test_one_that_is_closing_already_is_not_reset() -> None:
    async with Upstream() as upstream, connected(upstream) as connection:
        await upstream.connected()
        transport = transport_of(connection)
        transport.close()

        drop(transport, reset=True)

        assert (await upstream.closed()).how is How.FIN


async def test_without_tls_every_fin_is_in_order() -> None:
    async with Upstream() as upstream, connected(upstream) as connection:
        assert closed_in_order(transport_of(connection))
