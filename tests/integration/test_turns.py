"""A crowd of new requests does not come between a token that has arrived and its client."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.support.answers import TOKEN
from tests.support.client import RawClient
from tests.support.house import BEARER, CHAT, House, chat, open_house, settings
from tests.support.upstream import DONE, Gate, Upstream, answer, stream

CROWD = 120


async def crowd_of(house: House, stack: AsyncExitStack) -> list[RawClient]:
    """Open connections that have had an answer each."""
    clients = [await stack.enter_async_context(house.client()) for _ in range(CROWD)]
    for client in clients:
        response = await client.request("GET", "/auth/ping", BEARER)
        await response.read()
    return clients


async def test_token_passes_before_a_crowd_that_came_with_it() -> None:
    async with Upstream() as upstream, open_house(settings(upstream.url)) as house, AsyncExitStack() as stack:
        crowd = await crowd_of(house, stack)
        upstream.script(stream(TOKEN, Gate("more"), TOKEN, DONE))
        upstream.always(answer({"ok": True}))
        watcher = await stack.enter_async_context(house.client())
        live = await watcher.request("POST", CHAT, BEARER, chat())
        await live.read_until(TOKEN)

        upstream.open("more")
        async with asyncio.TaskGroup() as asking:
            asked = [asking.create_task(client.request("POST", CHAT, BEARER, chat(stream=False))) for client in crowd]
            await live.read_until(TOKEN + TOKEN)
            begun = len(house.server.lifecycle)
        for each in asked:
            await each.result().read()
        await live.read()

    assert begun < CROWD / 2
