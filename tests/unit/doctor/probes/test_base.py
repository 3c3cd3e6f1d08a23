"""What every probe gets and gives."""

from __future__ import annotations

import asyncio

import pytest

from proxy.doctor.listening import Patience
from proxy.doctor.probes import base
from proxy.doctor.probes.base import Desk, Finding, asked
from proxy.doctor.rules import Symptom
from proxy.doctor.wire import Unreachable
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import serving


class Broken:
    name = "broken"
    seconds = 1.0

    async def run(self, desk: Desk) -> Finding:
        raise Unreachable("nothing listens there")


class Endless:
    name = "endless"
    seconds = 0.0

    async def run(self, desk: Desk) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError


async def test_stream_is_asked_for_with_query_and_headers(house: House) -> None:
    async with desk(house.url) as it:
        ask = it.ask({"count": 2, "interval": 0}, coding="gzip", Last_Event_ID="1")

        seen = await it.stream(ask, Patience(), expected=1)

        assert ask.headers["Accept-Encoding"] == "gzip"
        assert (seen.complete, seen.told["n"]) == (True, 2)


async def test_what_is_no_stream_cannot_be_listened_to() -> None:
    async with serving(b"HTTP/1.1 404 Not Found\r\n\r\n") as server, desk(server.url) as it:
        with pytest.raises(Unreachable, match="status 404"):
            await it.stream(it.ask({}), Patience())


async def test_hop_that_cannot_be_asked_is_a_finding() -> None:
    async with desk("http://127.0.0.1:1") as it:
        assert await asked(Broken(), it) == Finding(probe="broken", ok=False, said="nothing listens there")


async def test_probe_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SLACK", 0.05)

    async with desk("http://127.0.0.1:1") as it, asyncio.timeout(10):
        finding = await asked(Endless(), it)

    assert (finding.ok, finding.said) == (False, "there was no end to it, and it was given up after 50 ms")


async def test_mend_is_that_of_the_outermost_product() -> None:
    async with desk("http://127.0.0.1:1", products=["nginx", "Caddy"]) as it:
        assert it.mend(Symptom.HELD).product == "Caddy"
