"""Whether it is noticed that a client has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.doctor.probes import disconnect
from proxy.doctor.probes.disconnect import Disconnect
from proxy.tasks import Tasks
from tests.support.components import HOST
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import DONE, HEAD, serving, tick


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnect, "POLL", 0.01)


@asynccontextmanager
async def inattentive(house: House, *, deaf: bool) -> AsyncIterator[str]:
    """Run a relay that looks after its client only when there is something to write to it; *deaf*: never."""
    tasks = Tasks()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(*house.server.address)
        try:
            inner_writer.write(await reader.readuntil(b"\r\n\r\n"))
            while (data := await inner_reader.read(65536)) and (deaf or not reader.at_eof()):
                if not reader.at_eof():
                    writer.write(data)
        finally:
            writer.close()
            inner_writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.spawn(relay(reader, writer), name="relay")

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await tasks.close()


async def test_departure_from_a_silent_stream_is_noticed(house: House) -> None:
    async with desk(house.url) as it:
        finding = await Disconnect().run(it)

    assert finding.ok
    assert finding.said.startswith("noticed ")
    assert finding.facts["silent_ms"] >= 0


async def test_departure_that_is_noticed_at_the_next_byte_is_told_so(house: House) -> None:
    async with inattentive(house, deaf=False) as url, desk(url) as it:
        finding = await Disconnect(within=1.5).run(it)

    assert finding.ok
    assert "not noticed in 1.5 s of silence" in finding.said
    assert finding.fix is not None
    assert "keepalives" in finding.fix.text


async def test_departure_that_nobody_notices_is_a_fault(house: House) -> None:
    async with inattentive(house, deaf=True) as url, desk(url, products=["Caddy"]) as it:
        finding = await Disconnect(within=0.3).run(it)

        assert finding.ok is False
        assert finding.fix is not None
        assert "flush_interval" in finding.fix.text


async def test_proxy_that_knows_nothing_of_the_stream_cannot_tell() -> None:
    said = (HEAD + b"\r\n" + tick(1) + DONE, b"HTTP/1.1 404 Not Found\r\n\r\n")
    async with serving(*said, in_turn=True) as server, desk(server.url) as it:
        finding = await Disconnect().run(it)

    assert finding.ok is None
    assert "cannot be told" in finding.said


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"<p>",
        b"{}",
        b'{"state":"left","ago_ms":"abc"}',
        b'{"state":"left","ago_ms":null}',
        b'{"state":"left","ago_ms":true}',
        b'{"state":1,"ago_ms":1}',
    ],
)
async def test_answer_that_is_not_ours_tells_nothing(body: bytes) -> None:
    async with serving(HEAD + b"\r\n" + tick(1) + DONE, HEAD + b"\r\n" + body, in_turn=True) as server, desk(server.url) as it:
        assert (await Disconnect().run(it)).ok is None


async def test_answer_whose_body_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnect, "ANSWER", 0.2)
    said = (HEAD + b"\r\n" + tick(1) + DONE, HEAD + b"Content-Length: 9\r\n\r\n{")

    async with serving(*said, in_turn=True, stay=True) as server, desk(server.url) as it, asyncio.timeout(10):
        assert (await Disconnect().run(it)).ok is None


async def test_stream_that_is_held_back_is_left_before_its_head_and_known_by_the_id_that_was_given() -> None:
    told = b'{"state":"left","silent_ms":1.0,"ago_ms":0.0}'
    async with serving(b"", HEAD + b"\r\n" + told, in_turn=True) as server, desk(server.url) as it:
        finding = await Disconnect(first=0.5).run(it)

        assert finding.ok
        given = next(line for line in server.heads[0].split(b"\r\n") if line.startswith(b"X-Request-Id: "))
        assert server.heads[1].startswith(b"GET /test/departures/%b HTTP/1.1" % given.partition(b": ")[2])
