"""Sees to it that a crowd of new requests does not keep the tokens of live streams waiting.

What has arrived from an upstream is handed on in the event loop's next turn, and a turn lasts as long as everything that is
ready in it. A thousand clients that ask at the same moment would be one turn of a tenth of a second and more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

AT_ONCE: Final = 4  # requests that may begin in one turn; below a millisecond of work, and fewer would take a crowd too long


class Turns:
    """Counts the requests that begin in each turn of the event loop; who finds no place waits, in order, for a later turn."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place in the present turn; tells whether there was one."""
        if self._begun >= AT_ONCE or self._waiting:
            return False
        if not self._begun:
            self._loop.call_soon(self._turn)
        self._begun += 1
        return True

    async def wait(self) -> None:
        """Wait for a place in a later turn. Whoever is cancelled meanwhile gives up its place in line."""
        place: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(place)
        await place

    def _turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < AT_ONCE:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._begun += 1
        if self._begun:
            self._loop.call_soon(self._turn)
