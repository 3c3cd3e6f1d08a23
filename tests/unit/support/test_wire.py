"""A connection's end is told apart, its bytes are kept with their times, and its buffers are under the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.tasks import Tasks
from tests.support.wire import Bell, How, Wire


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Wire, Wire]]:
    """Lend both ends of a connection."""
    loop = asyncio.get_running_loop()
    there = Wire()
    server = await loop.create_server(lambda: there, "127.0.0.1", 0)
    _, here = await loop.create_connection(Wire, *server.sockets[0].getsockname())
    await there.bell.until(lambda: there._transport is not None, "accept")
    try:
        yield here, there
    finally:
        await here.dispose()
        await there.dispose()
        server.close()


async def test_each_write_is_a_read_of_its_own() -> None:
    async with connected() as (here, there):
        for byte in b"abc":
            await here.write(bytes([byte]))
            await here.settle()

        pieces = [await there.take() for _ in range(3)]

        assert [piece.data for piece in pieces if piece] == [b"a", b"b", b"c"]
        assert there.received == 3


@pytest.mark.parametrize(("leave", "how"), [(Wire.close, How.FIN), (Wire.fin, How.FIN), (Wire.reset, How.RST)])
@pytest.mark.parametrize("paused", [False, True])
async def test_end_is_told_apart(leave: Callable[[Wire], None], how: How, paused: bool) -> None:
    async with connected() as (here, there):
        if paused:
            there.pause()

        leave(here)

        assert (await there.until_closed()).how is how


async def test_own_end_is_not_the_peers() -> None:
    async with connected() as (here, _):
        here.close()

        assert (await here.until_closed()).how is How.LOCAL


async def test_closing_with_unread_bytes_is_a_reset_for_the_peer() -> None:
    async with connected() as (here, there):
        there.pause()
        await here.write(b"never read")

        there.close()

        assert (await here.until_closed()).how is How.RST


async def test_bytes_come_before_the_end() -> None:
    async with connected() as (here, there):
        await here.write(b"last words")
        here.reset()

        first, second = await there.take(), await there.take()

        assert first is not None
        assert first.data == b"last words"
        assert second is None


async def test_half_close_leaves_the_other_direction_open() -> None:
    """A server that has ended its answer must still see when the peer leaves."""
    async with connected() as (here, there):
        here.fin()
        await there.until_closed()

        assert (await here.until_closed()).how is How.FIN


async def test_flush_waits_for_a_peer_that_does_not_read() -> None:
    async with connected() as (here, there):
        there.pause()
        writing = Tasks().spawn(here.write(bytes(20_000_000)), name="write")
        await here.bell.until(lambda: here.congested, "a full socket")
        assert not writing.done()

        there.resume()
        await writing

        await there.bell.until(lambda: there.received == 20_000_000, "all bytes")


async def test_writing_to_an_ended_connection_does_nothing() -> None:
    async with connected() as (here, there):
        there.reset()
        await here.until_closed()

        await here.write(b"into the void")


async def test_untaken_bytes_are_taken_first() -> None:
    async with connected() as (here, there):
        await here.write(b"a")
        await here.settle()
        await here.write(b"b")
        await there.bell.until(lambda: len(there.inbox) == 2, "two reads")
        piece = await there.take()
        assert piece is not None

        there.untake(piece)

        assert await there.take() is piece


async def test_waiting_in_vain_names_what_was_waited_for() -> None:
    with pytest.raises(AssertionError, match="in vain for rain"):
        await Bell().until(lambda: False, "rain", within=0.001)


async def test_bell_wakes_everyone() -> None:
    bell = Bell()
    rung: list[bool] = []

    async def ring() -> None:
        rung.append(True)
        bell.ring()

    await asyncio.gather(*(bell.until(lambda: bool(rung), "the bell", within=1) for _ in range(2)), ring())
