from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.simulator.wire import Wire
from tests.unit.simulator.support import Ask, body_of, chat, connected, eventually, finished, request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PIECE = b"x" * 65_536
PIECES = 500  # more than the kernel keeps for a connection


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[str]:
    """Serve *handle* for every request, without a simulator around it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_client_that_does_not_read_makes_the_wire_wait() -> None:
    sent: list[int] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        wire = Wire(request)
        await wire.open({})
        for _ in range(PIECES):
            await wire.send(PIECE)
            sent.append(len(PIECE))
        await wire.finish()
        return wire.response

    async with serving(handle) as url, connected(url) as client:
        assert client.transport is not None
        client.transport.pause_reading()
        client.send(request("/"))
        await eventually(lambda: len(sent) > 0)
        before = len(sent)

        client.transport.resume_reading()
        await client.until(lambda seen: seen.ends_with(b"0\r\n\r\n"))

    assert before < PIECES == len(sent)


async def test_answers_do_not_tell_the_server_software(ask: Ask) -> None:
    for sent in (chat(scenario="ok;tokens=1"), chat(stream=False, scenario="ok;tokens=1"), chat(scenario="nonsense")):
        client = await ask(sent)

        assert b"\r\nServer: simulator\r\n" in client.received
        assert b"aiohttp" not in client.received


async def test_connection_is_kept_after_a_good_answer(url: str) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="ok;tokens=1"))
        await client.until(finished)
        first = body_of(client)
        client.forget()
        client.send(chat(scenario="ok;tokens=1"))
        await client.until(finished)

        assert body_of(client) == first


async def test_wire_without_a_client_refuses_to_write() -> None:
    transport = Mock(**{"is_closing.return_value": True})
    wire = Wire(make_mocked_request("GET", "/", transport=transport))

    with pytest.raises(ConnectionError):
        wire.hang_up()
