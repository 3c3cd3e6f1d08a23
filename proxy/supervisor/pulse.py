"""Decides whether a worker hangs: it runs, but its loop answers nobody, while the kernel goes on giving it connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.supervisor.channel import Channel

BEATS: Final = 5  # questions in the time that a worker has to answer


async def hangs(channel: Channel, patience: Callable[[], float]) -> bool:
    """Watch the other end; True once nothing has come from it for `patience()` seconds, False when it has left.

    Silence is counted in beats of our own and not by the clock, so that a supervisor that was itself held up blames nobody.
    """
    silent = 0
    while silent < BEATS:
        before = channel.taken
        channel.tell("beat")
        if await _left(channel, within=patience() / BEATS):
            return False
        silent = 0 if channel.taken > before else silent + 1
    return True


async def _left(channel: Channel, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await channel.closed()
    except TimeoutError:
        return False
    return True
