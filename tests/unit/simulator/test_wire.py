from __future__ import annotations

from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.simulator import Simulator
from proxy.simulator.wire import Wire
from tests.unit.simulator.support import Ask, body_of, chat, connected, finished, settled


async def test_client_that_does_not_read_makes_the_wire_wait(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        assert client.transport is not None
        client.transport.pause_reading()
        client.send(chat(scenario="huge_event;size=16MiB"))
        for _ in range(5):
            await _turn(url)

        assert (simulator.live, client.reads) == (1, [])
        client.transport.resume_reading()
        await client.until(lambda seen: bool(seen.reads) and seen.reads[-1].endswith(b"0\r\n\r\n"))
    await settled(simulator)

    assert simulator.finished == 6


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
        client.reads.clear()
        client.send(chat(scenario="ok;tokens=1"))
        await client.until(finished)

        assert body_of(client) == first


async def test_wire_without_a_client_refuses_to_write() -> None:
    transport = Mock(**{"is_closing.return_value": True})
    wire = Wire(make_mocked_request("GET", "/", transport=transport))

    with pytest.raises(ConnectionError):
        wire.hang_up()


async def _turn(url: str) -> None:
    """Let the simulator do as much as it wants: one whole other request."""
    async with connected(url) as other:
        other.send(chat(scenario="ok;tokens=1"))
        await other.until(finished)
