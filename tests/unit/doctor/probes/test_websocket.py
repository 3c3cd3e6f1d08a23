"""Requests to switch protocols."""

from __future__ import annotations

from proxy.doctor.probes.websocket import WebSocket
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import serving


async def test_proxy_declines_cleanly(house: House) -> None:
    async with desk(house.url) as it:
        finding = await WebSocket().run(it)

    assert (finding.ok, finding.facts) == (True, {"status": 200})


async def test_switch_is_a_fault() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with serving(switched) as server, desk(server.url) as it:
        finding = await WebSocket().run(it)

        assert finding.ok is False
        assert b"Upgrade: websocket" in server.heads[0]


async def test_silence_is_a_fault() -> None:
    async with serving(stay=True) as server, desk(server.url) as it:
        finding = await WebSocket(within=0.05).run(it)

    assert finding.ok is False
    assert "no answer came within 0.05 s" in finding.said
