"""A request's body on its way in: what has come waits here until it is taken, and a client that sends much more has to wait."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

HELD: Final = 128 * 1024  # bytes that may wait before reading pauses


class Source(Protocol):
    """Where a body comes from."""

    def hold_back(self) -> None:
        """Read no further."""

    def go_on(self) -> None:
        """Read again."""


class Body:
    """The bytes of one request's body, for one reader at a time. `ended`: all of them have come, though perhaps not been taken."""

    __slots__ = ("_error", "_held_back", "_pieces", "_size", "_source", "_waiting", "ended")

    def __init__(self, source: Source) -> None:
        self.ended = False
        self._source = source
        self._pieces: list[bytes] = []
        self._size = 0
        self._held_back = False
        self._error: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Body {self._size} bytes wait, ended={self.ended}>"

    # the connection's side

    def feed(self, data: bytes) -> None:
        """Add *data*, which has come."""
        self._pieces.append(data)
        self._size += len(data)
        if not self._wake() and self._size > HELD and not self._held_back:
            self._held_back = True
            self._source.hold_back()

    def end(self, data: bytes) -> None:
        """Add *data*, behind which nothing follows."""
        self.ended = True
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._held_back:  # what comes now is of other requests
            self._go_on()
        self._wake()

    def fail(self, error: Exception) -> None:
        """Note that the rest will not come: whoever reads gets *error*. A body that has ended stays as it is."""
        if not self.ended:
            self._error = error
            self._wake()

    # the reader's side

    def read_nowait(self) -> bytes:
        """Take what has come since the last time; nothing is no sign of the end. Raises what the body has failed with."""
        if self._error is not None:
            raise self._error
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._held_back:
            self._go_on()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def readany(self) -> bytes:
        """Take what has come, and wait for it if need be; nothing only at the end. Raises what the body has failed with."""
        while not self._pieces and not self.ended and self._error is None:
            waiting = self._waiting = asyncio.get_running_loop().create_future()
            try:
                await waiting
            finally:
                if self._waiting is waiting:  # a reader that was cancelled may end when the next one waits already
                    self._waiting = None
        return self.read_nowait()

    def _go_on(self) -> None:
        self._held_back = False
        self._source.go_on()

    def _wake(self) -> bool:
        """Wake whoever waits; tells whether somebody did, who will take everything at once."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            return False
        waiting.set_result(None)
        return True
