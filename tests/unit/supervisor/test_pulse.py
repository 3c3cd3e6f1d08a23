from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.supervisor.channel import Channel, Facts
from proxy.supervisor.pulse import BEATS, hangs
from proxy.tasks import Tasks


class Peer:
    """The other end, which counts the beats that it gets and does as it is told at each."""

    def __init__(self, at_beat: Callable[[Peer], None]) -> None:
        self.beats = 0
        self.channel = Channel({"beat": self._beat}, Tasks())
        self._at_beat = at_beat

    def _beat(self, _facts: Facts) -> None:
        self.beats += 1
        self._at_beat(self)


@asynccontextmanager
async def watched(at_beat: Callable[[Peer], None]) -> AsyncIterator[tuple[Channel, Peer]]:
    ours, theirs = socket.socketpair()
    channel, peer = Channel({"beat": lambda _: None, "metrics": lambda _: None}, Tasks()), Peer(at_beat)
    await channel.open(ours)
    await peer.channel.open(theirs)
    try:
        yield channel, peer
    finally:
        peer.channel.close()
        channel.close()
        await asyncio.gather(channel.closed(), peer.channel.closed())


async def test_one_that_says_nothing_hangs_after_so_many_questions() -> None:
    """However long each took: the one who asks may itself have been held up."""
    async with watched(lambda _: None) as (channel, peer):
        assert await hangs(channel, lambda: 0.1)
        assert peer.beats == BEATS


async def test_one_that_answers_now_and_then_does_not_hang_and_whatever_it_says_is_an_answer() -> None:
    def at_beat(peer: Peer) -> None:
        if peer.beats == 6 * BEATS:
            peer.channel.close()
        elif peer.beats % (BEATS - 1) == 0:
            peer.channel.tell("metrics")

    async with watched(at_beat) as (channel, peer):
        assert not await hangs(channel, lambda: 0.1)
        assert peer.beats == 6 * BEATS


async def test_one_that_has_left_does_not_hang() -> None:
    async with watched(lambda _: None) as (channel, peer):
        peer.channel.close()

        assert not await hangs(channel, lambda: 3600.0)


async def test_the_time_it_has_may_change_meanwhile() -> None:
    times = iter([0.1, 0.1])

    async with watched(lambda _: None) as (channel, peer):
        assert await hangs(channel, lambda: next(times, 0.05))
        assert next(times, None) is None
        assert peer.beats == BEATS
