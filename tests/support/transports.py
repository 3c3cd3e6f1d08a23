"""A transport that writes down what it is told, for protocols that are to be looked at without a socket and without a clock."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


class RecordingSocket:
    """Keeps the options that are set on it."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int | bytes]] = []

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self.options.append((level, option, value))


class RecordingTransport(asyncio.Transport):
    """What a protocol writes into, and its pace. It takes everything at once until `stall` is called.

    Like a real one it tells its protocol of a full and of an emptied buffer, and of its end in a later callback.
    """

    def __init__(self, protocol: asyncio.Protocol, peer: tuple[str, int] = ("192.0.2.7", 50000)) -> None:
        self.socket = RecordingSocket()
        super().__init__({"peername": peer, "socket": self.socket})
        self.written: list[bytes] = []  # one for each write
        self.ended = ""  # `close`, `abort` or `lost`, whichever came first
        self.finished = False  # our side has ended, and the other need not have
        self.reading = True
        self._protocol = protocol
        self._pending = 0
        self._high = 64 * 1024
        self._stalled = False
        self._told_full = False
        self._lost = False

    @property
    def sent(self) -> bytes:
        """Everything written so far."""
        return b"".join(self.written)

    def connect(self) -> None:
        """Tell the protocol that it is connected."""
        self._protocol.connection_made(self)

    def stall(self) -> None:
        """Take nothing from now on: what is written stays in the buffer."""
        self._stalled = True

    def take(self, size: int | None = None) -> None:
        """Take so many bytes out of the buffer, or all of it and everything that follows."""
        self._stalled = size is not None
        self._pending = 0 if size is None else self._pending - size
        if self._told_full and self._pending <= self._high // 4:
            self._told_full = False
            self._protocol.resume_writing()
        if self.ended:
            self._end(self.ended)

    def lose(self, error: Exception | None = None) -> None:
        """End it from the other side: with a FIN, or with *error*."""
        self.ended = self.ended or "lost"
        if not self._lost:
            self._lost = True
            self._pending = 0
            self._protocol.connection_lost(error)

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written.append(bytes(data))
        if self._stalled:
            self._pending += len(data)
            if self._pending > self._high and not self._told_full:
                self._told_full = True
                self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._pending

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del low
        self._high = high if high is not None else self._high

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return bool(self.ended)

    def write_eof(self) -> None:
        self.finished = True

    def close(self) -> None:
        self._end("close")

    def abort(self) -> None:
        self._pending = 0
        self._end("abort")

    def _end(self, how: str) -> None:
        self.ended = self.ended or how
        if not self._pending and not self._lost:
            self._lost = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


async def turns(count: int = 3) -> None:
    """Let the event loop run what is ready, and what becomes ready by it."""
    for _ in range(count):
        await asyncio.sleep(0)
