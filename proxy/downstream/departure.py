"""Notices that a peer has left although nothing is read from it: an event loop does not look at a paused socket."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable


class DepartureWatch:
    """Watches one socket between `start` and `stop` for a FIN or RST, and calls *left* once when it comes.

    An epoll of its own is itself a file that the loop can watch; it wakes for the end of the connection and not for bytes.
    """

    __slots__ = ("_epoll", "_left", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, left: Callable[[], None]) -> None:
        self._loop = loop
        self._left = left
        self._epoll: select.epoll | None = None

    def start(self, descriptor: int) -> None:
        """Begin to watch; while it does already, nothing happens."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._epoll.register(descriptor, select.EPOLLRDHUP)  # an error and a RST are always told
            self._loop.add_reader(self._epoll.fileno(), self._departed)

    def stop(self) -> None:
        """Watch no longer. Idempotent."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            self._loop.remove_reader(epoll.fileno())
            epoll.close()

    def _departed(self) -> None:
        self.stop()
        self._left()
