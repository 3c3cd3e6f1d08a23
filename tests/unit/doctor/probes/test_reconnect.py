"""Clients that come back."""

from __future__ import annotations

from proxy.doctor.probes.reconnect import Reconnect
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import DONE, HEAD, serving, tick


async def test_stream_is_taken_up_where_it_was(house: House) -> None:
    async with desk(house.url) as it:
        assert (await Reconnect().run(it)).ok


async def test_id_that_does_not_reach_the_proxy_is_a_fault() -> None:
    async with serving(HEAD + b"\r\n" + tick(1) + DONE) as server, desk(server.url) as it:
        finding = await Reconnect().run(it)

    assert finding.ok is False
    assert "Last-Event-ID does not reach the proxy" in finding.said


async def test_stream_that_never_says_that_it_is_over_is_a_fault() -> None:
    async with serving(HEAD + b"\r\n" + tick(2) + DONE) as server, desk(server.url) as it:
        finding = await Reconnect().run(it)

        assert finding.ok is False
        assert "answers 200, not 204" in finding.said
        assert b"Last-Event-ID: 3" in server.heads[1]
