"""How long a connection may be silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.doctor.probes.idle import Idle
from proxy.tasks import Tasks
from tests.support.components import HOST
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk


@asynccontextmanager
async def impatient(house: House, limit: float, *, whole: bool = False) -> AsyncIterator[str]:
    """Run a relay that ends a connection on which the proxy says nothing for *limit* seconds; *whole*: in any case."""
    tasks = Tasks()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(*house.server.address)
        loop = asyncio.get_running_loop()
        try:
            inner_writer.write(await reader.readuntil(b"\r\n\r\n"))
            async with asyncio.timeout(limit) as patience:
                while data := await inner_reader.read(65536):
                    writer.write(data)
                    if not whole:
                        patience.reschedule(loop.time() + limit)
        except TimeoutError:
            pass
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


async def test_path_without_a_limit_lets_every_silence_pass(house: House) -> None:
    async with desk(house.url) as it:
        finding = await Idle((0.5, 0.1)).run(it)

    assert (finding.ok, finding.said) == (True, "silences of 0.1, 0.5 s pass, without keepalives too")
    assert [step["keepalives"] for step in finding.facts["with_keepalives"]] == [0, 2]
    assert [step["keepalives"] for step in finding.facts["without_keepalives"]] == [0, 0]


async def test_limit_on_silence_is_measured_and_keepalives_beat_it(house: House) -> None:
    async with impatient(house, 1.0) as url, desk(url) as it:
        finding = await Idle((0.1, 2.0)).run(it)

    assert finding.ok
    assert "keepalives keep them open" in finding.said
    passed, cut = finding.facts["without_keepalives"]
    assert passed["cut_ms"] is None
    assert 900 < cut["cut_ms"] < 2000


async def test_limit_on_the_whole_answer_is_no_matter_of_keepalives(house: House) -> None:
    async with impatient(house, 1.0, whole=True) as url, desk(url) as it:
        finding = await Idle((2.0,)).run(it)

    assert not finding.ok
    assert "in spite of keepalives" in finding.said
    assert finding.fix is not None


def test_it_takes_as_long_as_the_longest_silence() -> None:
    assert Idle((5.0, 1.0)).seconds == 5
